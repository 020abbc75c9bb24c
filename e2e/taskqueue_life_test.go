package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/holdfasttest"
)

// try is one element of a task's history.
type taskTry struct {
	At                  int64
	ID, Consumer, Error string
}

func historyOf(t testing.TB, g gotTask) (all []taskTry) {
	t.Helper()
	if h := g.field("history"); h != "" {
		if err := json.Unmarshal([]byte(h), &all); err != nil {
			t.Fatalf("history %s: %v", h, err)
		}
	}
	return all
}

// found is the newest entry of a task that is not its first, found with native
// commands alone.
func (q *tasks) found(stream, task string) gotTask {
	q.t.Helper()
	at, _ := q.do("HGET % %", sideKey(stream, "tasks"), task).(string)
	if at == "" {
		q.t.Fatalf("%s is not to be found in %s", task, stream)
	}
	got := gotTask{stream: stream, id: at}
	for _, e := range q.do("XRANGE % % %", stream, at, at).([]any) {
		for _, f := range e.([]any)[1].([]any) {
			got.fields = append(got.fields, f.(string))
		}
	}
	if got.field("task_id") != task {
		q.t.Fatalf("%s is said to be in %s, where there is %q", task, at, got.fields)
	}
	return got
}

func sideKey(stream, kind string) string { return "{" + stream + "}:" + kind }

// One task that is delayed, fails three times, is buried, redriven with a repaired
// payload and done: it has one id throughout, is found by it at each step, and says
// all that happened. A server without the modules that replicates it has the same.
func TestATaskKeepsItsIDAndItsHistoryThroughout(t *testing.T) {
	s, replica := taskServer(t), holdfasttest.Server(t, holdfasttest.WithModules())
	q, r := tasksOn(t, s), tasksOn(t, replica)
	replicate(t, q, r)
	same := func() {
		t.Helper()
		q.Wait(q.ctx, 1, taskWait)
		if a, b := q.do("DEBUG DIGEST"), r.do("DEBUG DIGEST"); a != b {
			t.Fatal("the replica differs")
		}
	}
	id := q.do("TASK.PUBLISH s broken DELAY 30 HEADERS 1 trace abc").(string)
	if !strings.HasPrefix(id, "delayed-") {
		t.Fatal(id)
	}
	wait := taskWait.Milliseconds()
	var want []taskTry
	check := func(g gotTask, retries int, failure string) {
		t.Helper()
		got := historyOf(t, g)
		for i := range got {
			if got[i].At < 1e12 {
				t.Errorf("try %d was at %d", i, got[i].At)
			}
			got[i].At = 0
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("history (-want +got):\n%s", diff)
		}
		if g.field("task_id") != id || g.field("retry_count") != fmt.Sprint(retries) || g.field("error") != failure || g.field("trace") != "abc" {
			t.Fatalf("%q", g.fields)
		}
		if found := q.found(g.stream, id); found.id != g.id {
			t.Fatalf("%s is found in %s, it is in %s", id, found.id, g.id)
		}
		same()
	}
	g1 := q.one("TASK.CONSUME g c1 s 1 %", wait)
	check(g1, 0, "")

	q.do("TASK.NACK s g c1 % DELAY 20 REASON % MAXRETRIES 2 DEAD dead", g1.id, "no \"route\"")
	want = append(want, taskTry{ID: g1.id, Consumer: "c1", Error: "no \"route\""})
	if at := q.do("HGET {s}:tasks %", id).(string); !strings.HasPrefix(at, "delayed-") {
		t.Fatalf("while its retry is delayed it is found in %s", at)
	}
	same()
	g2 := q.one("TASK.CONSUME g c2 s 1 %", wait)
	check(g2, 1, "no \"route\"")

	q.do("TASK.RETRY s % broken 1 s dead 2 GROUP g CONSUMER c2 REASON %", g2.id, "too late")
	want = append(want, taskTry{ID: g2.id, Consumer: "c2", Error: "too late"})
	g3 := q.one("TASK.CONSUME g c3 s")
	check(g3, 2, "too late")

	buried := q.do("TASK.NACK s g c3 % MAXRETRIES 2 DEAD dead REASON %", g3.id, "again").([]any)
	want = append(want, taskTry{ID: g3.id, Consumer: "c3", Error: "again"})
	d := q.found("dead", id)
	if buried[0] != "DEAD" || buried[1] != d.id || d.field("origin_id") != g3.id || d.field("reason") != "again" {
		t.Fatalf("%v, %q", buried, d.fields)
	}
	check(d, 2, "again")
	q.wants(nil, "HGET {s}:tasks %", id)

	q.wants(int64(1), "TASK.REDRIVE dead IDS 1 % PAYLOAD whole", id)
	q.wants(int64(0), "TASK.REDRIVE dead IDS 1 % PAYLOAD whole", id)
	q.wants(nil, "HGET {dead}:tasks %", id)
	g4 := q.one("TASK.CONSUME g c4 s")
	if g4.payload() != "whole" || g4.field("reason") != "" || g4.field("timestamp") != g1.field("timestamp") {
		t.Fatalf("%q", g4.fields)
	}
	check(g4, 0, "")
	q.wants(int64(1), "TASK.ACK s g % CONSUMER c4", g4.id)
	q.wants(int64(0), "XLEN s")
	q.wants(nil, "TASK.CONSUME g c5 s 1")
	same()
	q.wants(int64(0), "EXISTS {s}:tasks {dead}:tasks") // nothing is left of a queue that is empty
}

func TestAPublishersHeadersCannotForgeWhatATaskSaysOfItself(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for _, name := range []string{"task_id", "error", "history", "unique_id", "unique_until_done", "expire_at", "origin_id"} {
		q.fails("ERR the header name", "TASK.PUBLISH s x HEADERS 2 trace a % 1-1", name)
	}
	// The version before let them pass: there they are headers, and stay so.
	q.do("XADD s 7-0 payload x timestamp 5 retry_count 0 trace a task_id forged error e history []")
	q.do("TASK.CONSUME g c s")
	q.do("TASK.NACK s g c 7-0 REASON broken")
	got := q.one("TASK.CONSUME g c s")
	want := []string{"payload", "x", "timestamp", "5", "retry_count", "1", "task_id", "7-0", "error", "broken", "history", got.field("history"),
		"trace", "a", "task_id", "forged", "error", "e", "history", "[]"}
	if diff := cmp.Diff(want, got.fields); diff != "" {
		t.Fatal(diff)
	}
	if h := historyOf(t, got); len(h) != 1 || h[0].Error != "broken" {
		t.Fatalf("%+v", h)
	}
}

// Retries, dead letters and delayed tasks that the version before wrote.
func TestWhatTheVersionBeforeWroteIsUnderstood(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("XADD s 3-0 payload x timestamp 5 retry_count 4 trace a")
	q.do("TASK.CONSUME g c s")
	q.do("TASK.NACK s g c 3-0 MAXRETRIES 4 DEAD dead")
	d := q.found("dead", "3-0")
	if d.field("retry_count") != "4" || d.field("trace") != "a" || len(historyOf(t, d)) != 1 {
		t.Fatalf("%q", d.fields)
	}
	q.do("DEL dead {dead}:tasks")
	q.do("XADD dead 8-0 payload y timestamp 5 retry_count 2 reason r origin_stream s origin_group g origin_consumer c origin_id 6-0 first_timestamp 5 deliveries 1 failed_at 6 trace b")
	q.wants(int64(1), "TASK.REDRIVE dead IDS 1 8-0")
	got := q.one("TASK.CONSUME g c s")
	want := []string{"payload", "y", "timestamp", "5", "retry_count", "0", "task_id", "6-0", "trace", "b"}
	if diff := cmp.Diff(want, got.fields); diff != "" {
		t.Fatal(diff)
	}
	q.do("ZADD {s}:delayed 1 %", "delayed-1-2 7:payload,1:z,9:timestamp,1:5,11:retry_count,1:0,5:trace,1:c,")
	q.do("ZADD {s}:delayed 2 %", "a payload by hand")
	q.do("TASK.PUBLISH s last DELAY 1")
	z := q.one("TASK.CONSUME g c s 1 %", taskWait.Milliseconds())
	want = []string{"payload", "z", "timestamp", "5", "retry_count", "0", "task_id", "delayed-1-2", "trace", "c"}
	if diff := cmp.Diff(want, z.fields); diff != "" {
		t.Fatal(diff)
	}
	if got := q.one("TASK.CONSUME g c s 1 %", taskWait.Milliseconds()); got.payload() != "a payload by hand" || got.field("task_id") != "" {
		t.Fatalf("%q", got.fields)
	}
}

// A snooze is no try: the task comes back as it was.
func TestATaskGivenBackWithoutCountingIsAsItWas(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	id := q.publish("s", "x")[0]
	q.one("TASK.CONSUME g c s")
	q.do("TASK.NACK s g c % REASON first", id)
	g := q.one("TASK.CONSUME g c s")
	for range 3 {
		got := q.do("TASK.NACK s g c % NOCOUNT MAXRETRIES 0 DEAD dead REASON no", g.id).([]any)
		again := q.one("TASK.CONSUME g c s")
		if diff := cmp.Diff(g.fields, again.fields); diff != "" || got[0] != "RETRY" || got[1] != again.id || again.field("task_id") != id {
			t.Fatalf("%v: %s", got, diff)
		}
		g = again
	}
	// To another stream, as Also reads it; and back by the stream's own name.
	got := q.do("TASK.NACK s g c % TO other DELAY 1", g.id).([]any)
	if got[0] != "RETRY" {
		t.Fatal(got)
	}
	o := q.one("TASK.CONSUME g c other 1 %", taskWait.Milliseconds())
	if o.field("task_id") != id || o.field("retry_count") != "2" || len(historyOf(t, o)) != 2 {
		t.Fatalf("%q", o.fields)
	}
	q.wants(int64(0), "XLEN s")
	q.wants(nil, "HGET {s}:tasks %", id)
	q.do("TASK.NACK other g c % TO other", o.id)
	q.found("other", id)
	q.do("SET text v")
	q.fails("WRONGTYPE", "TASK.NACK other g c 1-0 TO text")
}

// A task cancelled is nobody's any more, in whatever state it was.
func TestACancelledTaskIsNobodysAnyMore(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	nobodys := func(group, consumer, id string) {
		t.Helper()
		q.wants(int64(0), "TASK.EXTEND s % % %", group, consumer, id)
		q.wants(int64(0), "TASK.ACK s % % CONSUMER %", group, id, consumer)
		q.wants(int64(0), "TASK.ACK s % %", group, id)
		q.wants(nil, "TASK.NACK s % % %", group, consumer, id)
		q.wants(nil, "TASK.RETRY s % x 0 s dead 3 GROUP % CONSUMER %", id, group, consumer)
	}
	empty := func() {
		t.Helper()
		q.wants(int64(0), "XLEN s")
		q.wants(int64(0), "EXISTS {s}:delayed")
		for _, g := range []string{"g", "h"} {
			if q.do("EXISTS s") == int64(1) {
				q.wants(int64(0), "EVAL % 1 s", "return redis.pcall('XPENDING', 's', '"+g+"')[1] or 0")
			}
			q.wants(nil, "TASK.CONSUME % z s", g)
		}
	}
	// Delayed, waiting.
	id := q.do("TASK.PUBLISH s x DELAY 3600000").(string)
	q.wants(int64(1), "TASK.CANCEL s %", id)
	q.wants(int64(0), "TASK.CANCEL s %", id)
	empty()
	ids := q.publish("s", "1", "2", "3")
	q.wants(int64(2), "TASK.CANCEL s % % % 1-1 nonsense", ids[0], ids[2], ids[0])
	// In work, in two groups, and beside one that is not cancelled.
	q.one("TASK.CONSUME g c s")
	q.one("TASK.CONSUME h d s")
	q.wants(int64(1), "TASK.CANCEL s %", ids[1])
	nobodys("g", "c", ids[1])
	nobodys("h", "d", ids[1])
	empty()
	q.do("XGROUP DESTROY s h")
	// Retried: delayed, waiting, in work; by the task's id and by its entry's.
	for _, byTask := range []bool{true, false} {
		for _, state := range []string{"delayed", "waiting", "in work"} {
			id := q.publish("s", "x")[0]
			q.one("TASK.CONSUME g c s")
			delay := 0
			if state == "delayed" {
				delay = 3600_000
			}
			at := q.do("TASK.NACK s g c % DELAY %", id, delay).([]any)[1].(string)
			if state == "in work" {
				q.one("TASK.CONSUME g c s")
			}
			name := at
			if byTask {
				name = id
			}
			q.wants(int64(1), "TASK.CANCEL s %", name)
			q.wants(int64(0), "TASK.CANCEL s % %", id, at)
			q.wants(int64(0), "EXISTS {s}:tasks")
			if state == "in work" {
				nobodys("g", "c", at)
			}
			q.wants(int64(0), "XLEN s")
		}
	}
	// A delayed task that has fallen due, by its id.
	id = q.do("TASK.PUBLISH s x DELAY 1").(string)
	got := q.one("TASK.CONSUME g c s 1 %", taskWait.Milliseconds())
	q.wants(int64(1), "TASK.CANCEL s %", id)
	nobodys("g", "c", got.id)
	// Dead: discarded.
	id = q.publish("s", "x")[0]
	q.one("TASK.CONSUME g c s")
	q.do("TASK.NACK s g c % MAXRETRIES 0 DEAD dead", id)
	q.wants(int64(0), "TASK.CANCEL s %", id)
	q.wants(int64(1), "TASK.CANCEL dead %", id)
	q.wants(int64(0), "XLEN dead")
	// Retried by one group and still in work in the other: both are gone.
	q.do("XGROUP CREATE s h $")
	id = q.publish("s", "x")[0]
	q.one("TASK.CONSUME g c s")
	q.one("TASK.CONSUME h d s")
	q.do("TASK.NACK s g c %", id)
	q.wants(int64(1), "TASK.CANCEL s %", id)
	nobodys("h", "d", id)
	empty()
	// Named twice, by its own id and its entry's, it is one task.
	q.do("XGROUP DESTROY s h")
	id = q.publish("s", "x")[0]
	q.one("TASK.CONSUME g c s")
	at := q.do("TASK.NACK s g c %", id).([]any)[1]
	q.wants(int64(1), "TASK.CANCEL s % % %", id, at, id)
	q.wants(int64(0), "XLEN s")
	q.do("XGROUP CREATE s h $")
	// What is done is not cancelled, also where it is kept.
	id = q.publish("s", "x")[0]
	q.one("TASK.CONSUME g c s")
	q.one("TASK.CONSUME h d s")
	q.do("CONFIG SET taskqueue.keep-acked yes")
	q.wants(int64(1), "TASK.ACK s g %", id)
	q.wants(int64(1), "TASK.ACK s h %", id)
	q.wants(int64(0), "TASK.CANCEL s %", id)
	q.wants(int64(1), "XLEN s")
	q.do("SET text v")
	q.fails("WRONGTYPE", "TASK.CANCEL text 1-1")
}

// Finding a task by its id costs the same however many there are.
func TestCancellingATaskCostsTheSameInALongQueue(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	cost := func(tasks int) (calls int64) {
		t.Helper()
		q.do("FLUSHALL")
		retried := q.publish("s", "x")[0]
		q.one("TASK.CONSUME g c s")
		q.do("TASK.NACK s g c %", retried)
		args := []any{"TASK.MPUBLISH", "s"}
		for i := range tasks {
			args = append(args, i)
		}
		if err := q.Do(q.ctx, args...).Err(); err != nil {
			t.Fatal(err)
		}
		q.do("CONFIG RESETSTAT")
		q.wants(int64(1), "TASK.CANCEL s %", retried)
		for _, name := range []string{"hget", "xrange", "xinfo|groups", "xack", "xdel", "hdel", "xpending", "zrange", "xinfo|stream"} {
			calls += q.calls(name)
		}
		return calls
	}
	if few, many := cost(10), cost(10_000); few != many || few > 10 {
		t.Errorf("%d calls in a queue of 10 tasks, %d in one of 10,000", few, many)
	}
}

// The index names tasks that were done by the usual acknowledgement, which does not
// know of it, but not ever more of them.
func TestTheIndexOfTasksGrowsNoFurtherThanTheTasks(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "stays")
	q.one("TASK.CONSUME g c s")
	const alive, rounds = 20, 60
	most := int64(0)
	for range rounds {
		pipe := q.Pipeline()
		for range alive {
			pipe.Do(q.ctx, "TASK.PUBLISH", "s", "x", "DELAY", 1)
		}
		if _, err := pipe.Exec(q.ctx); err != nil {
			t.Fatal(err)
		}
		q.until(alive+1, func() int64 { return q.do("XLEN s").(int64) })
		most = max(most, q.do("HLEN {s}:tasks").(int64))
		for range alive {
			q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
		}
	}
	if most > 8*alive {
		t.Errorf("%d tasks in the index of a queue that never had more than %d", most, alive+1)
	}
	if most <= alive {
		t.Errorf("%d in the index: the acknowledgements were not the usual ones", most)
	}
}
