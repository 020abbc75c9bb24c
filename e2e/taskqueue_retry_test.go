package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAFailedTaskIsRetriedUntilItIsBuried(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "x")
	for n := range 3 {
		got := q.one("TASK.CONSUME g c s")
		if got.field("retry_count") != fmt.Sprint(n) || (len(got.fields) == 6) != (n == 0) {
			t.Fatalf("retry %d came as %q", n, got.fields)
		}
		q.wants("OK", "TASK.RETRY s % x % s dead 2", got.id, n)
		q.wants(int64(1), "TASK.ACK s g %", got.id)
	}
	q.wants(nil, "TASK.CONSUME g c s")
	d := q.one("TASK.CONSUME g c dead")
	if d.payload() != "x" || d.field("retry_count") != "2" || d.field("reason") != "retries exhausted" || d.field("origin_stream") != "s" {
		t.Fatalf("buried as %q", d.fields)
	}
}

// With GROUP the source is acknowledged in the same step, and nothing happens
// when it is somebody else's by now.
func TestARetryAndItsAcknowledgementAreOneStep(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.do("TASK.PUBLISH s x 0 HEADERS 2 trace abc tenant %", "").(string)
	first := q.one("TASK.CONSUME g c s")
	q.wants(nil, "TASK.RETRY s % x 0 s dead 3 GROUP g CONSUMER other", id)
	q.wants(nil, "TASK.RETRY s % x 0 s dead 3 GROUP other", id)
	q.wants(int64(1), "XLEN s")
	got := q.do("TASK.RETRY s % changed 0 s dead 3 GROUP g CONSUMER c WITHID", id).([]any)
	again := q.one("TASK.CONSUME g c s")
	want := []string{"payload", "changed", "timestamp", first.field("timestamp"), "retry_count", "1", "task_id", id, "history", again.field("history"), "trace", "abc", "tenant", ""}
	if diff := cmp.Diff(want, again.fields); diff != "" || got[0] != "RETRY" || got[1] != again.id {
		t.Fatalf("%v: %s", got, diff)
	}
	q.wants(int64(1), "XLEN s") // the source is gone, acknowledged by all
	q.wants(nil, "TASK.RETRY s % x 0 s dead 3 GROUP g", id)
	dead := q.do("TASK.RETRY s % x 3 s dead 3 GROUP g CONSUMER c REASON % WITHID", again.id, "no such tenant").([]any)
	d := q.one("TASK.CONSUME g u dead")
	if dead[0] != "DEAD" || dead[1] != d.id || d.field("reason") != "no such tenant" || d.field("trace") != "abc" ||
		d.field("origin_consumer") != "c" || d.field("deliveries") != "1" {
		t.Fatalf("%v %q", dead, d.fields)
	}
	q.wants(int64(0), "XLEN s")
}

func TestATaskGivenBackIsPublishedAgainOrBuried(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("TASK.PUBLISH s x HEADERS 1 trace abc")
	first := q.one("TASK.CONSUME g c s")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "next")
	again := q.do("TASK.NACK s g c % MAXRETRIES 1 DEAD dead", first.id).([]any)
	taskHanded(t, w, "next", "x")
	if again[0] != "RETRY" {
		t.Fatal(again)
	}
	q.wants(nil, "TASK.NACK s g c %", again[1])
	dead := q.do("TASK.NACK s g next % MAXRETRIES 1 DEAD dead REASON broken", again[1]).([]any)
	d := q.one("TASK.CONSUME g u dead")
	if dead[0] != "DEAD" || d.id != dead[1] || d.field("retry_count") != "1" || d.field("reason") != "broken" || d.field("trace") != "abc" {
		t.Fatalf("%v %q", dead, d.fields)
	}
	q.wants(int64(0), "XLEN s")

	// Back to where it came from, once, with its headers and without its death.
	q.wants(int64(1), "TASK.REDRIVE dead")
	back := q.one("TASK.CONSUME g c s")
	want := []string{"payload", "x", "timestamp", first.field("timestamp"), "retry_count", "0", "task_id", first.id, "history", back.field("history"), "trace", "abc"}
	if diff := cmp.Diff(want, back.fields); diff != "" {
		t.Fatal(diff)
	}
	q.wants(int64(0), "TASK.REDRIVE dead")

	// Entries of someone else's making go where they are told.
	q.do("XADD dead * job resize size 5")
	q.wants(int64(0), "TASK.REDRIVE dead")
	q.wants(int64(1), "TASK.REDRIVE dead COUNT 5 TO other")
	if got := q.one("TASK.CONSUME g c other"); got.field("job") != "resize" || got.field("retry_count") != "0" {
		t.Fatalf("%q", got.fields)
	}
}

// However many are dead, and whatever else lies among them.
func TestARedriveMovesAsManyAsItIsToldInTheirOrder(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	var want []string
	for i := range 250 {
		if i == 150 {
			q.do("XADD dead * payload foreign")
		}
		q.do("TASK.RETRY s 1-1 % 0 s dead 0", i)
		want = append(want, fmt.Sprint(i))
	}
	q.wants(int64(101), "TASK.REDRIVE dead COUNT 101")
	q.wants(int64(149), "TASK.REDRIVE dead")
	q.wants(int64(0), "TASK.REDRIVE dead")
	q.wants(int64(1), "XLEN dead")
	if got := taskPayloads(q.do("TASK.CONSUME g c s 999")); got != strings.Join(want, " ") {
		t.Fatalf("came back as %s", got)
	}
	q.do("CONFIG SET taskqueue.max-count 3")
	for range 5 {
		q.do("TASK.RETRY s 1-1 x 0 s many 0")
	}
	q.wants(int64(3), "TASK.REDRIVE many COUNT 5")
	if got := len(tasksIn(q.do("TASK.CONSUME g c s 9"))); got != 3 {
		t.Errorf("%d tasks at once, want taskqueue.max-count", got)
	}
}

func TestARetryWaitsAsLongAsItIsToldAndNoLongerThanItsMost(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "x", "y")
	x, y := q.one("TASK.CONSUME g c s"), q.one("TASK.CONSUME g c s")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a")
	pipe := q.TxPipeline()
	nack, set := pipe.Do(q.ctx, "TASK.NACK", "s", "g", "c", x.id, "DELAY", 200), pipe.ZRangeWithScores(q.ctx, "{s}:delayed", 0, -1)
	if _, err := pipe.Exec(q.ctx); err != nil || len(set.Val()) != 1 {
		t.Fatal(err, set.Val())
	}
	a := nextOf(t, w)
	got := tasksIn(a.v)
	if a.who != "a" || len(got) != 1 || got[0].payload() != "x" {
		t.Fatal(a)
	}
	var came float64
	if fmt.Sscanf(got[0].id, "%g-", &came); came < set.Val()[0].Score {
		t.Errorf("it was due at %f and came at %f", set.Val()[0].Score, came)
	}
	if score := q.do("ZSCORE {s}:delayed %", nack.Val().([]any)[1]); score != nil {
		t.Fatal(score)
	}
	q.do("TASK.NACK s g c % BACKOFF 1000000 30", y.id) // at most 30 ms
	if got := q.one("TASK.CONSUME g b s 1 %", taskWait.Milliseconds()); got.payload() != "y" {
		t.Fatal(got)
	}
	q.wants("OK", "TASK.RETRY s 1-1 z 0 s dead 3 DELAY 40")
	if got := q.one("TASK.CONSUME g c s 1 %", taskWait.Milliseconds()); got.payload() != "z" {
		t.Fatal(got)
	}
}

func TestAUniqueTaskIsPublishedOnce(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.do("TASK.PUBLISH s x UNIQUE u 3600000")
	q.wants(id, "TASK.PUBLISH s other UNIQUE u 3600000")
	q.wants(int64(1), "XLEN s")
	if other := q.do("TASK.PUBLISH s y UNIQUE v 1"); other == id {
		t.Fatal("two unique ids were taken for one")
	}
	late := q.do("TASK.PUBLISH s z UNIQUE w 3600000 DELAY 3600000")
	q.wants(late, "TASK.PUBLISH s z UNIQUE w 3600000 DELAY 1")
	q.wants(int64(1), "ZCARD {s}:delayed")
	q.until(0, func() int64 { return q.do("EXISTS {s}:unique:v").(int64) })
	q.do("TASK.PUBLISH s y UNIQUE v 5")
	q.wants(int64(3), "XLEN s")
	q.wants(int64(1), "TASK.CANCEL s %", late)
}
