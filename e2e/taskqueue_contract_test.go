package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func TestAPublishedTaskIsConsumedAsItWasPublished(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	before := time.Now().Unix()
	id := q.do("TASK.PUBLISH mail %", "a\r\n\x00b")
	got := q.one("TASK.CONSUME g c mail")
	after := time.Now().Unix()
	if got.id != id || got.stream != "mail" || len(got.fields) != 6 {
		t.Fatalf("consumed %q, published %v", got, id)
	}
	var at int64
	fmt.Sscan(got.field("timestamp"), &at)
	if diff := cmp.Diff([]string{"payload", "a\r\n\x00b", "timestamp", fmt.Sprint(at), "retry_count", "0"}, got.fields); diff != "" || at < before || at > after {
		t.Fatalf("between %d and %d:\n%s", before, after, diff)
	}
	q.wants(nil, "TASK.CONSUME g c mail")
	q.wants(int64(1), "TASK.ACK mail g %", id)
	q.wants(int64(0), "TASK.ACK mail g %", id)
	q.do("TASK.PUBLISH mail % 7", "")
	if got := q.one("TASK.CONSUME g c mail"); got.field("retry_count") != "7" || got.fields[1] != "" {
		t.Fatalf("an empty task retried 7 times came as %q", got)
	}
}

// The shape is that of XREADGROUP's reply, whichever protocol the client speaks.
func TestTasksHaveOneShapeInBothProtocols(t *testing.T) {
	s := taskServer(t)
	for _, protocol := range []int{2, 3} {
		o := *s.Client().Options()
		o.Protocol = protocol
		c := redis.NewClient(&o)
		defer c.Close()
		q := tasksOn(t, s)
		q.Client = c
		q.do("FLUSHALL")
		q.publish("a", "1", "2", "3")
		q.publish("b", "4")
		if got := taskPayloads(q.do("TASK.CONSUME g c a 2")); got != "1 2" {
			t.Errorf("RESP%d: %q", protocol, got)
		}
		if got := taskPayloads(q.do("TASK.CONSUME g c a 9 ALSO 1 b")); got != "3 4" {
			t.Errorf("RESP%d: %q", protocol, got)
		}
		q.wants(nil, "TASK.CONSUME g c none")
		q.wants(nil, "TASK.CONSUME g c none 1 1")
		w := q.waits("TASK.CONSUME g NAME wait 1 0", "w")
		q.publish("wait", "5")
		taskHanded(t, w, "w", "5")
		stats := q.do("TASK.STATS a")
		if _, isMap := stats.(map[any]any); isMap != (protocol == 3) {
			t.Errorf("RESP%d: TASK.STATS answers a %T", protocol, stats)
		}
	}
}

func TestWrongInputToTheQueueIsRefusedAndChangesNothing(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("SET text x")
	q.do("SET {m}:delayed x")
	q.publish("s", "task")
	q.one("TASK.CONSUME g c s")
	const (
		arity   = "ERR wrong number of arguments for '"
		integer = "ERR value is not an integer or out of range"
		syntax  = "ERR syntax error"
		kind    = "WRONGTYPE Operation against a key holding the wrong kind of value"
		id      = "ERR Invalid stream ID specified as stream command argument"
	)
	bare := dialCache(t, q.Options().Addr)
	before := q.do("DEBUG DIGEST")
	for line, want := range map[string]string{
		"TASK.PUBLISH s":                                   arity + "task.publish' command",
		"TASK.PUBLISH s p x":                               integer,
		"TASK.PUBLISH s p -1":                              integer,
		"TASK.PUBLISH s p 0 BOGUS":                         syntax,
		"TASK.PUBLISH s p DELAY":                           syntax,
		"TASK.PUBLISH s p DELAY x":                         integer,
		"TASK.PUBLISH s p DELAY -1":                        "ERR invalid expire time in 'task.publish' command",
		"TASK.PUBLISH s p DELAY 9223372036854775807":       "ERR invalid expire time in 'task.publish' command",
		"TASK.PUBLISH s p DELAY 9007199254740992":          "ERR invalid expire time in 'task.publish' command",
		"TASK.PUBLISH s p DELAY 1 AT 1":                    syntax,
		"TASK.PUBLISH s p UNIQUE u":                        syntax,
		"TASK.PUBLISH s p UNIQUE u 0":                      "ERR invalid expire time in 'task.publish' command",
		"TASK.PUBLISH s p LIMIT 0":                         integer,
		"TASK.PUBLISH s p LIMIT 1":                         "QUEUEFULL the stream holds 1 entries, the limit is 1",
		"TASK.PUBLISH s p HEADERS 2 a b c":                 syntax,
		"TASK.PUBLISH s p HEADERS -1":                      integer,
		"TASK.PUBLISH s p HEADERS 1 payload x":             "ERR the header name 'payload' is a field of the task itself; take another",
		"TASK.PUBLISH text p":                              kind,
		"TASK.PUBLISH text p DELAY 5":                      kind,
		"TASK.PUBLISH m p DELAY 5":                         kind,
		"TASK.PUBLISH a}b p DELAY 5":                       "ERR no key can share the cluster slot of this stream's name",
		"TASK.PUBLISH a}b p UNIQUE u 5":                    "ERR no key can share the cluster slot of this stream's name",
		"TASK.PAUSE a}b":                                   "ERR no key can share the cluster slot of this stream's name",
		"TASK.MPUBLISH s":                                  arity + "task.mpublish' command",
		"TASK.MPUBLISH text p":                             kind,
		"TASK.CONSUME g c":                                 arity + "task.consume' command",
		"TASK.CONSUME g c s 0":                             integer,
		"TASK.CONSUME g c s x":                             integer,
		"TASK.CONSUME g c s 1 x":                           integer,
		"TASK.CONSUME g c s 1 -1":                          "ERR invalid expire time in 'task.consume' command",
		"TASK.CONSUME g c s 1 9223372036854775807":         "ERR invalid expire time in 'task.consume' command",
		"TASK.CONSUME g c s 1 0 BOGUS":                     syntax,
		"TASK.CONSUME g c s LEASE 0":                       "ERR invalid expire time in 'task.consume' command",
		"TASK.CONSUME g c s LEASE 1 LEASE 1":               syntax,
		"TASK.CONSUME g c s MAXDELIVERIES 1":               syntax,
		"TASK.CONSUME g c s MAXDELIVERIES 1 DEAD":          syntax,
		"TASK.CONSUME g c s MAXDELIVERIES 0 DEAD d":        integer,
		"TASK.CONSUME g c s MAXDELIVERIES 1 DEAD s":        "ERR a stream cannot be its own dead stream",
		"TASK.CONSUME g c s MAXDELIVERIES 1 DEAD text":     kind,
		"TASK.CONSUME g c s ALSO 2 a":                      syntax,
		"TASK.CONSUME g c s ALSO 1 text":                   kind,
		"TASK.CONSUME g c text":                            kind,
		"TASK.CONSUME g c text ALSO 1 s":                   kind,
		"TASK.CONSUME g taskqueue:available s":             "ERR the consumer name 'taskqueue:available'",
		"TASK.ACK s g":                                     arity + "task.ack' command",
		"TASK.ACK s g x":                                   id,
		"TASK.ACK text g 1-0":                              kind,
		"TASK.ACK text g 1-0 CONSUMER c":                   kind,
		"TASK.RETRY s 1-0 p 0 s d":                         arity + "task.retry' command",
		"TASK.RETRY s 1-0 p x s d 1":                       integer,
		"TASK.RETRY s 1-0 p 0 s d -1":                      integer,
		"TASK.RETRY s x p 0 s d 1":                         id,
		"TASK.RETRY s 1-0 p 0 text d 1":                    kind,
		"TASK.RETRY s 1-0 p 0 s text 1":                    kind,
		"TASK.RETRY s 1-0 p 0 s d 1 CONSUMER c":            syntax,
		"TASK.RETRY s 1-0 p 0 s d 1 DELAY 1 BACKOFF 1 1":   syntax,
		"TASK.RETRY s 1-0 p 0 s d 1 BACKOFF 1":             syntax,
		"TASK.RETRY s 1-0 p 0 s d 1 BACKOFF 0 1":           "ERR invalid expire time in 'task.retry' command",
		"TASK.NACK s g c x":                                id,
		"TASK.NACK s g c 1-0 MAXRETRIES 1":                 syntax,
		"TASK.NACK s g c 1-0 MAXRETRIES 1 DEAD s":          "ERR a stream cannot be its own dead stream",
		"TASK.NACK text g c 1-0":                           kind,
		"TASK.EXTEND s g c x":                              id,
		"TASK.EXTEND text g c 1-0":                         kind,
		"TASK.REDRIVE text":                                kind,
		"TASK.REDRIVE s COUNT 0":                           integer,
		"TASK.REDRIVE s TO text":                           kind,
		"TASK.REDRIVE s IDS 0":                             integer,
		"TASK.REDRIVE s IDS 2 1-1":                         syntax,
		"TASK.REDRIVE s IDS 1 1-1 COUNT 1":                 syntax,
		"TASK.REDRIVE s COUNT 1 IDS 1 1-1":                 syntax,
		"TASK.REDRIVE s PAYLOAD p":                         "ERR PAYLOAD repairs one task",
		"TASK.REDRIVE s IDS 2 1-1 1-2 PAYLOAD p":           "ERR PAYLOAD repairs one task",
		"TASK.NACK s g c 1-0 NOCOUNT NOCOUNT":              syntax,
		"TASK.NACK s g c 1-0 TO":                           syntax,
		"TASK.NACK s g c 1-0 TO text":                      kind,
		"TASK.CANCEL s":                                    arity + "task.cancel' command",
		"TASK.CANCEL text 1-0":                             kind,
		"TASK.CANCEL m delayed-1-2":                        kind,
		"TASK.STATS text":                                  kind,
		"TASK.FORGET s none c":                             "NOGROUP",
		"TASK.FORGET text g c":                             kind,
		"TASK.FORGET s g taskqueue:available":              "ERR the consumer 'taskqueue:available' is the module's own",
		"TASK.FORGET s g taskqueue:forget:c":               "ERR the consumer 'taskqueue:forget:c' is the module's own",
		"TASK.CONSUME g taskqueue:forget:c s":              "ERR the consumer name 'taskqueue:forget:c'",
		"TASK.NACK s g c 1-0 DELAY 9007199254740992":       "ERR invalid expire time in 'task.nack' command",
		"TASK.RETRY s 1-0 p 0 a}b d 1 DELAY 5":             "ERR no key can share the cluster slot of this stream's name",
		"TASK.RETRY s 1-0 p 0 s d 1 GROUP":                 syntax,
		"TASK.RETRY s 1-0 p 0 s d 1 WITHID WITHID":         syntax,
		"TASK.PUBLISH s p 99999999999999999999":            integer,
		"TASK.CONSUME g c s MAXDELIVERIES 1 DEAD d ALSO x": integer,
	} {
		q.fails(want, line)
		bare.refusedAlike(line)
	}
	if after := q.do("DEBUG DIGEST"); after != before {
		t.Error("a refused command changed the data")
	}
}

func TestWhereWaitingIsNotAllowedConsumeAnswersAtOnce(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	pipe := q.TxPipeline()
	none := pipe.Do(q.ctx, "TASK.CONSUME", "g", "c", "s", 1, 0)
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", "one")
	one := pipe.Do(q.ctx, "TASK.CONSUME", "g", "c", "s", 1, 0)
	if _, err := pipe.Exec(q.ctx); err != nil && err != redis.Nil {
		t.Fatal(err)
	}
	if none.Val() != nil || taskPayloads(one.Val()) != "one" {
		t.Fatalf("in MULTI: %v, then %v", none, one)
	}
	const script = "return redis.call('TASK.CONSUME', 'g', 'c', KEYS[1], 1, 0)"
	q.wants(nil, "EVAL % 1 s", script)
	q.publish("s", "two")
	if got := taskPayloads(q.do("EVAL % 1 s", script)); got != "two" {
		t.Fatalf("in a script: %q", got)
	}
}

func TestTheQueuesCommandsDeclareTheirKeys(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for line, want := range map[string]string{
		"TASK.PUBLISH s p":                  "s",
		"TASK.MPUBLISH s p p":               "s",
		"TASK.CONSUME g c s 1 0":            "s",
		"TASK.ACK s g 1-0":                  "s",
		"TASK.RETRY s 1-0 p 0 again dead 3": "s again dead",
		"TASK.NACK s g c 1-0":               "s",
		"TASK.EXTEND s g c 1-0":             "s",
		"TASK.REDRIVE dead":                 "dead",
		"TASK.CANCEL s delayed-1-2":         "s",
		"TASK.PAUSE s":                      "s",
		"TASK.RESUME s":                     "s",
		"TASK.STATS s":                      "s",
		"TASK.FORGET s g c":                 "s",
	} {
		if got := strings.Trim(fmt.Sprint(q.do("COMMAND GETKEYS "+line)), "[]"); got != want {
			t.Errorf("COMMAND GETKEYS %s: %s, want %s", line, got, want)
		}
	}
}

// Streams named behind an option are checked too, and no choice of arguments
// hides a stream from the check.
func TestAUserOfTheQueueTouchesOnlyTheKeysItMay(t *testing.T) {
	s := taskServer(t)
	q := tasksOn(t, s)
	q.do("ACL SETUSER worker on >pw ~mine* +@all")
	q.publish("secret", "hidden")
	o := *q.Options()
	o.Username, o.Password = "worker", "pw"
	c := redis.NewClient(&o)
	defer c.Close()
	w := &tasks{c, t, q.ctx}
	before := q.do("DEBUG DIGEST")
	for _, line := range []string{
		"TASK.PUBLISH secret p",
		"TASK.CONSUME g c secret",
		"TASK.CONSUME g c secret 1 0 ALSO 1 dead",
		"TASK.CONSUME g c secret 1 0 ALSO 1 also",
		"TASK.CONSUME g c mine ALSO 1 secret",
		"TASK.CONSUME g c mine MAXDELIVERIES 1 DEAD secret",
		"TASK.RETRY mine 1-0 p 0 secret mine2 1",
		"TASK.RETRY mine 1-0 p 0 mine secret 1",
		"TASK.NACK mine g c 1-0 MAXRETRIES 1 DEAD secret",
		"TASK.NACK mine g c 1-0 TO secret",
		"TASK.REDRIVE mine TO secret",
		"TASK.REDRIVE mine IDS 1 1-0 TO secret",
		"EVAL return(redis.call('TASK.CONSUME','g','c','mine','ALSO','1','secret')) 0",
	} {
		if v, err := w.try(line); err == nil || !strings.Contains(err.Error(), "permission") {
			t.Errorf("%s: %v %v, want NOPERM", line, v, err)
		}
	}
	if after := q.do("DEBUG DIGEST"); after != before {
		t.Error("a refused command changed the data")
	}
	// Where a dead task goes back to stands in the entry, which anyone may write.
	w.do("XADD mine-dead * payload x origin_stream secret")
	w.fails("NOPERM", "TASK.REDRIVE mine-dead")
	w.publish("mine", "ok")
	if got := taskPayloads(w.do("TASK.CONSUME g c mine")); got != "ok" {
		t.Fatalf("the user's own stream gave %q", got)
	}
}

// What adds is refused in a full server; what frees is not, or it could never
// drain.
func TestAFullServersQueueCanBeDrained(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	ids := q.publish("s", "one", "two")
	q.do("CONFIG SET maxmemory 1")
	q.fails("OOM", "TASK.PUBLISH s p")
	q.fails("OOM", "TASK.MPUBLISH s p")
	q.fails("OOM", "TASK.RETRY s % p 0 s d 1", ids[0])
	q.one("TASK.CONSUME g c s 1")
	q.one("TASK.CONSUME g c s 1")
	q.wants(int64(1), "TASK.EXTEND s g c %", ids[1])
	q.wants(int64(1), "TASK.ACK s g %", ids[0])
	if got := q.do("TASK.NACK s g c %", ids[1]).([]any); got[0] != "RETRY" {
		t.Fatal(got)
	}
	q.wants("OK", "TASK.PAUSE s")
	q.wants("OK", "TASK.RESUME s")
}
