package e2e

import (
	"strings"
	"testing"
)

func TestAUniquePublicationTellsWhetherItWasTheFirst(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	first := q.do("TASK.PUBLISH s x UNIQUE u 3600000 WITHSTATUS").([]any)
	again := q.do("TASK.PUBLISH s y WITHSTATUS UNIQUE u 3600000").([]any)
	if first[0] != "NEW" || again[0] != "DUPLICATE" || first[1] != again[1] {
		t.Fatal(first, again)
	}
	if got := q.do("TASK.PUBLISH s z WITHSTATUS").([]any); got[0] != "NEW" || got[1] == first[1] {
		t.Fatal(got)
	}
	q.wants(int64(2), "XLEN s")
	for _, line := range []string{
		"UNTIL DONE", "UNTIL DONE UNIQUE u 5", "UNIQUE u 5 UNTIL", "UNIQUE u 5 UNTIL THEN", "UNIQUE u 5 UNTIL DONE UNTIL DONE",
		"WITHSTATUS WITHSTATUS", "UNIQUE u UNTIL DONE",
	} {
		if _, err := q.try("TASK.PUBLISH s x " + line); err == nil || !strings.HasPrefix(err.Error(), "ERR ") {
			t.Errorf("%s: %v", line, err)
		}
	}
	q.wants(int64(2), "XLEN s")
}

// A task that was removed on purpose does not keep its like away.
func TestAUniqueIDDoesNotOutliveTheRemovalOfItsTask(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	isNew := func(args string) string {
		t.Helper()
		got := q.do("TASK.PUBLISH s x UNIQUE u 3600000 WITHSTATUS " + args).([]any)
		if got[0] != "NEW" {
			t.Fatalf("%s: %v", args, got)
		}
		return got[1].(string)
	}
	q.wants(int64(1), "TASK.CANCEL s %", isNew("DELAY 3600000"))
	q.wants(int64(1), "TASK.CANCEL s %", isNew(""))
	id := isNew("")
	q.one("TASK.CONSUME g c s")
	at := q.do("TASK.NACK s g c % DELAY 3600000", id).([]any)[1]
	q.wants(id, "TASK.PUBLISH s x UNIQUE u 3600000")
	q.wants(int64(1), "TASK.CANCEL s %", at)
	isNew("")
	q.do("DEL s")
	isNew("DELAY 3600000")
	q.do("DEL {s}:delayed")
	isNew("")
	q.do("DEL s")
	q.wants(nil, "TASK.CONSUME g c s") // which makes it anew
	isNew("")
	q.do("DEL s")
	q.publish("s", "other")
	isNew("")
	q.do("RENAME s old")
	q.publish("s", "other")
	isNew("")
	// What was done is no removal: the id is held for its time.
	q.do("DEL s")
	id = isNew("")
	q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
	q.wants(id, "TASK.PUBLISH s x UNIQUE u 3600000")
	q.do("DEL {s}:unique:u")
	id = isNew("DELAY 1")
	q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s 1 %", taskWait.Milliseconds()).id)
	q.wants(id, "TASK.PUBLISH s x UNIQUE u 3600000")
}

func TestAUniqueIDUntilDoneIsFreedWhenItsTaskIs(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	publish := func(args string) (id string) {
		t.Helper()
		got := q.do("TASK.PUBLISH s x UNIQUE u 3600000 UNTIL DONE WITHSTATUS " + args).([]any)
		if got[0] != "NEW" {
			t.Fatalf("%s: %v, want it to be free", args, got)
		}
		q.wants(got[1], "TASK.PUBLISH s y UNIQUE u 3600000 UNTIL DONE")
		return got[1].(string)
	}
	held := func(by string) {
		t.Helper()
		q.wants(by, "GET {s}:unique:u")
		q.wants(by, "TASK.PUBLISH s y UNIQUE u 3600000 UNTIL DONE")
	}
	wait := taskWait.Milliseconds()
	// Each way of acknowledging; first those that are the usual ones by now.
	for range 3 {
		other := q.publish("s", "usual")[0]
		q.one("TASK.CONSUME g c s")
		q.wants(int64(1), "TASK.ACK s g %", other)
	}
	for _, way := range []string{"TASK.ACK s g ID", "TASK.ACK s g ID CONSUMER c", "TASK.ACK s g 1-1 ID", "MULTI", "cancel", "bury", "keep"} {
		id := publish("")
		q.one("TASK.CONSUME g c s")
		held(id)
		switch way {
		case "cancel":
			q.wants(int64(1), "TASK.CANCEL s %", id)
		case "bury":
			q.do("TASK.NACK s g c % MAXRETRIES 0 DEAD dead", id)
		case "keep":
			q.do("CONFIG SET taskqueue.keep-acked yes")
			q.publish("s", "usual")
			q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
			held(id)
			q.wants(int64(1), "TASK.ACK s g %", id)
			q.do("CONFIG SET taskqueue.keep-acked no")
			q.do("XTRIM s MAXLEN 0")
		case "MULTI":
			pipe := q.TxPipeline()
			pipe.Do(q.ctx, "TASK.ACK", "s", "g", id)
			if _, err := pipe.Exec(q.ctx); err != nil {
				t.Fatal(err)
			}
		default:
			q.wants(int64(1), strings.ReplaceAll(way, "ID", id))
		}
		q.wants(nil, "GET {s}:unique:u")
		q.wants(int64(0), "EXISTS {s}:undone")
	}
	// By deliveries, as a delayed task, and through retries.
	id := publish("DELAY 1")
	q.one("TASK.CONSUME g c s 1 %", wait)
	held(id)
	id = publishAfterBurial(t, q, publish)
	g := q.one("TASK.CONSUME g c s")
	for range 3 {
		q.do("TASK.NACK s g c % DELAY 1", g.id)
		held(id)
		g = q.one("TASK.CONSUME g c s 1 %", wait)
		held(id)
	}
	// A retry that is acknowledged by itself: the first entry's end is not the task's.
	q.do("TASK.RETRY s % x 3 s dead 9", g.id)
	q.wants(int64(1), "TASK.ACK s g %", g.id)
	held(id)
	g = q.one("TASK.CONSUME g c s")
	q.wants(int64(1), "TASK.ACK s g %", g.id)
	publish("")
	// Two groups: when both are done.
	q.do("XGROUP CREATE s h 0")
	g = q.one("TASK.CONSUME g c s")
	q.wants(int64(1), "TASK.ACK s g %", g.id)
	held(g.id)
	q.one("TASK.CONSUME h c s")
	q.wants(int64(1), "TASK.ACK s h %", g.id)
	id = publish("")
	// Into another stream: it is done where it was unique.
	q.one("TASK.CONSUME h c s")
	q.do("XGROUP DESTROY s g")
	q.do("TASK.NACK s h c % TO other", id)
	publish("")
	q.do("DEL s {s}:unique:u {s}:undone")
	// At its bound, when nothing else ends it.
	q.do("TASK.PUBLISH s x UNIQUE u 30 UNTIL DONE")
	q.one("TASK.CONSUME g c s")
	q.until(0, func() int64 { return q.do("EXISTS {s}:unique:u").(int64) })
	publish("")
}

func publishAfterBurial(t *testing.T, q *tasks, publish func(string) string) string {
	t.Helper()
	q.until(0, func() int64 {
		q.do("TASK.CONSUME g c s 1 LEASE 1 MAXDELIVERIES 1 DEAD dead")
		return q.do("XLEN s").(int64)
	})
	return publish("")
}
