package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// expired waits until so many tasks have expired.
func (q *tasks) expired(n int64) {
	q.t.Helper()
	q.until(n, func() int64 { return q.info("taskqueue_expired") })
}

// Nobody consumes at all, and the task is gone in time: no later reader, of whatever
// kind, sees it, and nothing is left of it.
func TestATaskThatNobodyTookInTimeIsGone(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const ms = 60
	began := time.Now()
	pipe := q.TxPipeline() // nothing expires within it
	for range 3 {
		pipe.Do(q.ctx, "TASK.PUBLISH", "s", "x", "EXPIRE", ms)
	}
	stays := pipe.Do(q.ctx, "TASK.PUBLISH", "s", "stays")
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", "later", "EXPIRE", 3600000)
	expiring := pipe.ZCard(q.ctx, "{s}:expiring")
	if _, err := pipe.Exec(q.ctx); err != nil || expiring.Val() != 4 {
		t.Fatal(err, expiring.Val())
	}
	q.expired(3)
	if took := time.Since(began); took < ms*time.Millisecond {
		t.Fatalf("gone after %v, before %d ms were over", took, ms)
	}
	if got := fmt.Sprint(q.do("XRANGE s - + COUNT 1")); got == "[]" || q.do("XLEN s") != int64(2) {
		t.Fatalf("the stream begins with %s", got)
	}
	if got := q.one("TASK.CONSUME g c s"); got.id != stays.Val() {
		t.Fatalf("%q", got)
	}
	if got := q.one("TASK.CONSUME g c s"); got.payload() != "later" {
		t.Fatalf("%q", got)
	}
	q.wants(int64(0), "EXISTS {s}:expiring") // what was handed out does not expire
	q.wants(nil, "TASK.CONSUME g c s")
}

// What was handed out in time is its consumer's, by whichever command it was taken,
// and a failed task that waits to be tried again has been handed out too.
func TestATaskThatWasTakenDoesNotExpire(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for range 3 { // so that the usual ways are open
		q.publish("s", "usual")
		q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
	}
	var taken []string
	const ms = 500 // to be taken in
	for _, by := range []string{"TASK.CONSUME g c s", "TASK.CONSUME g c s 1 LEASE 3600000", "TASK.CONSUME g c other 1 ALSO 1 s", "XREADGROUP GROUP g c COUNT 1 STREAMS s >", "waits"} {
		switch by {
		case "waits":
			w := q.waits("TASK.CONSUME g NAME s 1 0", "w")
			taken = append(taken, q.do("TASK.PUBLISH s x EXPIRE %", ms).(string))
			taskHanded(t, w, "w", "x")
		default: // sent together: the client's machine may be slow
			pipe := q.Pipeline()
			id := pipe.Do(q.ctx, "TASK.PUBLISH", "s", "x", "EXPIRE", ms)
			pipe.Do(q.ctx, taskLine(by)...)
			if _, err := pipe.Exec(q.ctx); err != nil {
				t.Fatal(by, err)
			}
			taken = append(taken, id.Val().(string))
		}
	}
	q.do("TASK.NACK s g c % DELAY 1", taken[0])
	q.do("TASK.PUBLISH s last EXPIRE %", ms+1)
	q.expired(1)
	q.until(0, func() int64 { return q.do("EXISTS {s}:expiring {s}:delayed").(int64) })
	q.wants(int64(5), "XLEN s")
	q.wants(taken[0], "EVAL % 1 s", "local f = redis.call('TASK.CONSUME', 'g', 'c', 's')[1][2][1][2] for i = 1, #f, 2 do if f[i] == 'task_id' then return f[i + 1] end end")
	for _, id := range taken[1:] {
		q.wants(int64(1), "TASK.ACK s g %", id)
	}
}

// It goes to the dead stream that the group's consumers named, and is found there.
func TestAnExpiredTaskGoesToTheDeadStreamOfItsConsumers(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants(nil, "TASK.CONSUME g c s 1 LEASE 60000 MAXDELIVERIES 5 DEAD dead")
	id := q.do("TASK.PUBLISH s x EXPIRE 1 HEADERS 1 trace a UNIQUE u 3600000 UNTIL DONE").(string)
	w := q.waits("TASK.CONSUME u NAME dead 1 0", "operator")
	a := nextOf(t, w)
	d := tasksIn(a.v)[0]
	if d.field("reason") != "expired" || d.field("task_id") != id || d.field("origin_stream") != "s" || d.field("origin_group") != "g" ||
		d.field("trace") != "a" || d.field("history") != "" || d.field("expire_at") != "" {
		t.Fatalf("%q", d.fields)
	}
	q.wants(int64(0), "XLEN s")
	q.wants(int64(0), "EXISTS {s}:expiring {s}:unique:u {s}:undone")
	q.wants(int64(1), "TASK.REDRIVE dead IDS 1 %", id)
	if got := q.one("TASK.CONSUME g c s"); got.field("task_id") != id || got.payload() != "x" {
		t.Fatalf("%q", got.fields)
	}
	// One that cannot go there has expired all the same.
	q.do("DEL dead")
	q.do("SET dead text")
	q.do("TASK.PUBLISH s y EXPIRE 1")
	q.expired(2)
	q.wants(nil, "TASK.CONSUME g c2 s")
}

// The time counts from when the task can first be taken.
func TestADelayedTaskExpiresFromWhenItIsDue(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.do("TASK.PUBLISH s x DELAY 50 EXPIRE 3600000").(string)
	got := q.one("TASK.CONSUME g c s 1 %", taskWait.Milliseconds())
	due, _ := strconv.ParseInt(id[len("delayed-"):len("delayed-")+13], 10, 64)
	if got.field("task_id") != id || got.field("expire_at") != fmt.Sprint(due+3600000) {
		t.Fatalf("%q", got.fields)
	}
	q.do("TASK.PUBLISH s y DELAY 10 EXPIRE 10")
	q.expired(1)
	q.wants(int64(0), "EXISTS {s}:expiring {s}:delayed")
	q.wants(nil, "TASK.CONSUME g z s")
	// Both times over before the server could do anything about it.
	q.wants(nil, "TASK.CONSUME g z s 1 LEASE 3600000 MAXDELIVERIES 9 DEAD dead")
	id = q.do("TASK.PUBLISH s z DELAY 100 EXPIRE 100").(string)
	q.do("DEBUG SLEEP 0.4")
	q.expired(2)
	q.wants(nil, "TASK.CONSUME g z s")
	if d := q.found("dead", id); d.field("reason") != "expired" || d.payload() != "z" {
		t.Fatalf("%q", d.fields)
	}
}

// A paused queue, a restart, a promotion: expired tasks surface nowhere.
func TestExpiredTasksDoNotSurfaceLater(t *testing.T) {
	s, replica := taskServer(t), taskServer(t)
	q, r := tasksOn(t, s), tasksOn(t, replica)
	replicate(t, q, r)
	q.publish("s", "first")
	q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
	q.do("TASK.PAUSE s")
	w := q.waits("TASK.CONSUME g NAME s 9 0", "w")
	q.do("TASK.PUBLISH s x EXPIRE 30")
	q.expired(1)
	q.do("TASK.RESUME s")
	q.publish("s", "y")
	taskHanded(t, w, "w", "y")

	// Many that are due at once, met by a consumer before the timer comes to them.
	q.do("TASK.PAUSE s")
	for range 500 {
		q.do("TASK.PUBLISH s x EXPIRE 50")
	}
	q.publish("s", "z")
	q.do("TASK.RESUME s")
	pipe := q.Pipeline()
	pipe.Do(q.ctx, "DEBUG", "SLEEP", "0.2")
	got := pipe.Do(q.ctx, "TASK.CONSUME", "g", "c", "s", 999, taskWait.Milliseconds())
	if _, err := pipe.Exec(q.ctx); err != nil || taskPayloads(got.Val()) != "z" {
		t.Fatalf("%v: %q", err, taskPayloads(got.Val()))
	}

	// A pause keeps the primary from expiring them first.
	pipe = q.Pipeline()
	for range 200 {
		pipe.Do(q.ctx, "TASK.PUBLISH", "s", "x", "EXPIRE", 1500)
	}
	pipe.Do(q.ctx, "CLIENT", "PAUSE", taskWait.Milliseconds(), "WRITE")
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	r.until(200, func() int64 { return r.do("ZCARD {s}:expiring").(int64) })
	r.do("REPLICAOF NO ONE")
	r.expired(200)
	q.do("CLIENT UNPAUSE")
	q.do("DEBUG RELOAD")
	q.until(0, func() int64 { return q.do("EXISTS {s}:expiring").(int64) })
	for _, c := range []*tasks{q, r} {
		c.wants(nil, "TASK.CONSUME g z s")
	}
}

// A publisher's cancel, and a stream that is deleted, leave nothing to expire.
func TestWhatIsCancelledDoesNotExpire(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants(int64(1), "TASK.CANCEL s %", q.do("TASK.PUBLISH s x EXPIRE 3600000"))
	q.wants(int64(0), "EXISTS {s}:expiring")
	q.do("TASK.PUBLISH s x EXPIRE 30")
	q.do("DEL s")
	q.until(0, func() int64 { return q.do("EXISTS {s}:expiring").(int64) })
	q.wants(int64(0), "EVAL % 0", "return 0")
	if n := q.info("taskqueue_expired"); n != 0 {
		t.Fatalf("%d have expired", n)
	}
	for _, ms := range []string{"0", "-1", "9223372036854775807", "9007199254740992"} {
		q.fails("ERR invalid expire time in 'task.publish' command", "TASK.PUBLISH s x EXPIRE "+ms)
	}
	q.fails("ERR syntax error", "TASK.PUBLISH s x EXPIRE 1 EXPIRE 1")
	q.fails("ERR no key can share", "TASK.PUBLISH a}b x EXPIRE 1")
}
