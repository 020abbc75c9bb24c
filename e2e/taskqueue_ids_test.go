package e2e

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An id without its sequence is the one with sequence 0, to every command. At the
// end of a range the server takes it for the whole millisecond: another's task must
// not be settled by it.
func TestAnIdWithoutItsSequenceIsTheFirstOfItsMillisecond(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("XADD s 5-0 payload a timestamp 1 retry_count 0")
	q.do("XADD s 5-1 payload b timestamp 1 retry_count 0")
	q.one("TASK.CONSUME g other s")
	q.one("TASK.CONSUME g me s")
	before := q.do("XRANGE s - +")
	q.wants(int64(0), "TASK.ACK s g 5 CONSUMER me")
	q.wants(int64(0), "TASK.ACK s g 5 5 CONSUMER me")
	q.wants(int64(0), "TASK.EXTEND s g me 5")
	q.wants(nil, "TASK.NACK s g me 5")
	q.wants(nil, "TASK.RETRY s 5 x 0 s dead 3 GROUP g CONSUMER me")
	if diff := cmp.Diff(before, q.do("XRANGE s - +")); diff != "" {
		t.Fatalf("what was refused changed the stream:\n%s", diff)
	}
	q.wants(int64(1), "TASK.EXTEND s g other 5")
	q.wants(int64(1), "TASK.EXTEND s g other 0005")
	q.wants(int64(1), "TASK.ACK s g 05 CONSUMER other")
	if got := fmt.Sprint(q.do("XRANGE s - +")); got != "[[5-1 [payload b timestamp 1 retry_count 0]]]" {
		t.Fatal(got)
	}
	q.wants(int64(0), "TASK.ACK s g 5")
	q.wants(int64(1), "TASK.ACK s g 5-01")
	q.wants(int64(0), "XLEN s")

	q.do("XADD t 5-0 payload a timestamp 1 retry_count 0")
	q.do("XADD t 5-1 payload b timestamp 1 retry_count 0")
	q.do("TASK.CONSUME g me t 2")
	q.wants("RETRY", "EVAL % 1 t", "return redis.call('TASK.NACK', 't', 'g', 'me', '5')[1]")
	if got := fmt.Sprint(q.do("XPENDING t g")); got != "[1 5-1 5-1 [[me 1]]]" {
		t.Fatalf("pending %s, want 5-1 alone", got)
	}
}

// However many ids a command takes, it asks the server a few times, and not once for
// each.
func TestManyIdsAreSettledInFewCalls(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const n = 3000
	args := []any{"TASK.MPUBLISH", "s"}
	for i := range n {
		args = append(args, i)
	}
	ids, err := q.Do(q.ctx, args...).Slice()
	if err != nil {
		t.Fatal(err)
	}
	q.do("XGROUP CREATE s late 0")
	q.do("TASK.CONSUME g me s %", n)
	q.do("TASK.CONSUME late me s %", n)
	for _, c := range []struct {
		args []any
		most int64
	}{
		{append([]any{"TASK.EXTEND", "s", "g", "me"}, ids...), 6},
		{append(append([]any{"TASK.ACK", "s", "g"}, ids...), "CONSUMER", "me"), 8},
		{append([]any{"TASK.ACK", "s", "late"}, ids...), 8},
	} {
		q.do("CONFIG RESETSTAT")
		if got, err := q.Do(q.ctx, c.args...).Int64(); err != nil || got != n {
			t.Fatalf("%v: %d %v, want %d", c.args[:3], got, err, n)
		}
		calls := int64(0)
		for _, name := range []string{"xpending", "xclaim", "xack", "xdel", "xtrim", "xinfo|groups"} {
			calls += q.calls(name)
		}
		if calls > c.most {
			t.Errorf("%v of %d ids asked the server %d times, want at most %d", c.args[:3], n, calls, c.most)
		}
	}
	q.wants(int64(0), "XLEN s")
}

// Streams give their ids independently, so an entry of a dead stream may have the id of
// another task that died there.
func TestAnEntryCanBeNamedExactly(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for _, e := range []string{"5-0 a 4-0", "6-0 b 5-0", "7-0 c 6-0"} {
		var entry, payload, task string
		fmt.Sscan(e, &entry, &payload, &task)
		q.do("XADD dead % payload % timestamp 1 retry_count 1 task_id % origin_stream s", entry, payload, task)
		q.do("HSET {dead}:tasks % %", task, entry)
	}
	for _, ambiguous := range []string{"5-0", "6-0"} {
		q.wants(int64(0), "TASK.REDRIVE dead IDS 1 %", ambiguous)
		q.wants(int64(0), "TASK.CANCEL dead %", ambiguous)
	}
	for _, nothing := range []string{"entry:4-0", "entry:", "entry:x", "entry:5-0-0", "entry:entry:5-0", "ENTRY:5-0"} {
		q.wants(int64(0), "TASK.CANCEL dead %", nothing)
	}
	q.wants(int64(1), "TASK.CANCEL dead entry:5")
	q.wants(int64(1), "TASK.REDRIVE dead IDS 1 entry:6-0")
	if got := q.one("TASK.CONSUME g c s"); got.payload() != "b" || got.field("task_id") != "5-0" {
		t.Errorf("%q", got.fields)
	}
	q.wants(int64(1), "TASK.CANCEL dead entry:7-0 entry:7-0 6-0")
	q.wants(int64(0), "XLEN dead")
	q.wants(int64(0), "EXISTS {dead}:tasks")
}
