package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestATaskWhoseLeaseRanOutIsTakenOverFirst(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "old", "new", "newer")
	q.one("TASK.CONSUME g dead s")
	q.until(1, func() int64 { // its lease runs out
		return min(q.group("s", "g")["oldest_pending_ms"]/5, 1)
	})
	if got := taskPayloads(q.do("TASK.CONSUME g b s 2 LEASE 5")); got != "old new" {
		t.Fatalf("got %q", got)
	}
	if got := taskPayloads(q.do("TASK.CONSUME g b s 2 LEASE 3600000")); got != "newer" {
		t.Fatalf("got %q", got)
	}
}

func TestABlockedConsumerIsWokenWhenALeaseRunsOut(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.publish("s", "x")[0]
	q.one("TASK.CONSUME g dead s")
	w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 80", "alive")
	taskHanded(t, w, "alive", "x")
	p := q.do("XPENDING s g - + 9").([]any)[0].([]any)
	if p[1] != "alive" || p[3] != int64(2) {
		t.Fatalf("pending %v, want it with alive, delivered twice", p)
	}
	// The late worker cannot acknowledge what is not its own any more.
	q.wants(int64(0), "TASK.ACK s g % CONSUMER dead", id)
	q.wants(int64(0), "TASK.EXTEND s g dead %", id)
	q.wants(nil, "TASK.NACK s g dead %", id)
	q.wants(nil, "TASK.RETRY s % p 0 s d 3 GROUP g CONSUMER dead", id)
	q.wants(int64(1), "XLEN s")
	q.wants(int64(1), "TASK.ACK s g % CONSUMER alive", id)
	q.wants(int64(0), "XLEN s")
}

// Whoever asks for a longer lease is passed by until then; no task is taken
// from one who extends it.
func TestALeaseIsAsLongAsTheOneWhoTakesOverSays(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.publish("s", "x")[0]
	q.one("TASK.CONSUME g first s")
	w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 3600000", "patient")
	v := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 60", "eager")
	never := q.waits("TASK.CONSUME g NAME s 1 0", "never")
	taskHanded(t, v, "eager", "x")
	noAnswer(t, w)
	noAnswer(t, never)
	v = q.waits("TASK.CONSUME g NAME s 1 0 LEASE 1000", "third")
	pipe := q.Pipeline() // so that the client's machine may be slow
	for range 200 {
		pipe.Do(q.ctx, "TASK.EXTEND", "s", "g", "eager", id)
	}
	done, _ := pipe.Exec(q.ctx)
	for _, d := range done {
		if n, err := d.(*redis.Cmd).Int(); n != 1 {
			t.Fatal("the owner could not extend", err)
		}
	}
	taskHanded(t, v, "third", "x") // once nobody extends it
}

func TestATaskDeliveredTooOftenIsBuriedWithItsReason(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.do("TASK.PUBLISH s poison 2 HEADERS 1 trace abc").(string)
	q.publish("s", "good")
	q.one("TASK.CONSUME g a s")
	good := q.one("TASK.CONSUME g x s 1")
	w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 40 MAXDELIVERIES 2 DEAD dead", "b")
	taskHanded(t, w, "b", "poison")
	q.wants(int64(1), "TASK.ACK s g % CONSUMER x", good.id)
	w = q.waits("TASK.CONSUME g NAME s 1 0 LEASE 40 MAXDELIVERIES 2 DEAD dead", "c")
	dead := q.waits("TASK.CONSUME g NAME dead 1 0", "undertaker")
	a := nextOf(t, dead)
	got := tasksIn(a.v)
	if len(got) != 1 {
		t.Fatal(a)
	}
	d := got[0]
	for field, want := range map[string]string{
		"payload": "poison", "retry_count": "2", "reason": "deliveries exhausted", "origin_stream": "s", "origin_group": "g",
		"origin_consumer": "b", "origin_id": id, "deliveries": "2", "trace": "abc", "first_timestamp": d.field("timestamp"),
	} {
		if d.field(field) != want {
			t.Errorf("%s is %q, want %q", field, d.field(field), want)
		}
	}
	noAnswer(t, w) // the poison is not handed out again
	q.do("CLIENT UNBLOCK %", q.lastClient("task.consume"))
	if a := nextOf(t, w); a.v != nil {
		t.Fatalf("the poison was handed out again: %v", a.v)
	}
	q.wants(int64(0), "XLEN s")
	q.until(0, func() int64 { return q.group("s", "g")["pending"] })
}

// Pending tasks whose entry was trimmed are counted, never handed out as nil.
func TestTrimmedPendingTasksAreCountedNotHandedOut(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	ids := q.publish("s", "a", "b", "c")
	q.do("TASK.CONSUME g dead s 3")
	q.do("XDEL s % %", ids[0], ids[2])
	w := q.waits("TASK.CONSUME g NAME s 9 0 LEASE 20", "w")
	taskHanded(t, w, "w", "b")
	if n := q.info("taskqueue_lost_trimmed"); n != 2 {
		t.Fatalf("%d counted as lost, want 2", n)
	}
	q.do("XDEL s %", ids[1])
	q.wants(nil, "TASK.NACK s g w %", ids[1])
	if n := q.info("taskqueue_lost_trimmed"); n != 3 {
		t.Fatalf("%d counted as lost, want 3", n)
	}
	q.wants([]any{int64(0), nil, nil, nil}, "XPENDING s g")
	// Who waits goes on waiting where all that ran out is gone.
	ids = q.publish("s", "d", "e")
	q.do("TASK.CONSUME g dead s 2")
	q.do("XDEL s % %", ids[0], ids[1])
	q.do("XADD s 99999999999999-1 payload f")
	q.do("TASK.CONSUME g slow s")
	w = q.waits("TASK.CONSUME g NAME s 9 0 LEASE 600", "w")
	q.until(5, func() int64 { return q.info("taskqueue_lost_trimmed") })
	taskHanded(t, w, "w", "f")
}

// A long pending list is walked in bounded steps, and what ran out is found
// wherever it stands.
func TestLeasesThatRanOutAreFoundAnywhereInALongList(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const n = 2500
	pipe := q.Pipeline()
	for i := range n {
		pipe.Do(q.ctx, "TASK.PUBLISH", "s", fmt.Sprint(i))
	}
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	got := tasksIn(q.do("TASK.CONSUME g busy s %", n))
	if len(got) != n {
		t.Fatal(len(got))
	}
	// Three in the middle and at the end were delivered long ago.
	for _, i := range []int{1234, 2000, n - 1} {
		q.do("XCLAIM s g dead 0 % IDLE 3600000 JUSTID", got[i].id)
	}
	var found []string
	for len(found) < 3 {
		got := strings.Fields(taskPayloads(q.do("TASK.CONSUME g w s 9 % LEASE 1800000", taskWait.Milliseconds())))
		if len(got) == 0 {
			t.Fatalf("found only %v", found)
		}
		found = append(found, got...)
	}
	if s := strings.Join(found, " "); s != "1234 2000 2499" {
		t.Fatalf("found %s", s)
	}
}

func TestAForgottenConsumersTasksAreTheOthers(t *testing.T) {
	s := taskServer(t)
	q := tasksOn(t, s)
	q.publish("s", "1", "2", "3")
	q.do("TASK.CONSUME g gone s 3")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a")
	q.wants(int64(3), "TASK.FORGET s g gone")
	taskHanded(t, w, "a", "1")
	g := q.group("s", "g")
	if g["ready"] != 2 || g["pending"] != 1 || g["consumers"] != 1 {
		t.Fatalf("%v, want 2 ready, 1 pending, 1 consumer", g)
	}
	q.do("DEBUG RELOAD") // what lies there is in the stream
	if got := taskPayloads(q.do("TASK.CONSUME g b s 9")); got != "2 3" {
		t.Fatalf("got %q", got)
	}
	q.wants(int64(0), "TASK.FORGET s g nobody")
}

// A dead stream whose key holds something else by now holds up nobody.
func TestATaskThatCannotBeBuriedStaysWhereItIs(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "poison")
	q.one("TASK.CONSUME g gone s")
	w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 60000 MAXDELIVERIES 1 DEAD dead", "w")
	q.do("SET dead text")
	q.wants(int64(1), "TASK.FORGET s g gone")
	q.publish("s", "good")
	taskHanded(t, w, "w", "good")
	q.do("DEL dead")
	if got := taskPayloads(q.do("TASK.CONSUME g w s 9 LEASE 3600000 MAXDELIVERIES 1 DEAD dead")); got != "" {
		t.Fatalf("the poison was handed out: %q", got)
	}
	if d := q.one("TASK.CONSUME g u dead"); d.payload() != "poison" {
		t.Fatalf("buried %q", d.fields)
	}
}
