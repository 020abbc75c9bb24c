package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Everything TASK.STATS and INFO tell, after a little of everything.
func TestTheQueueTellsHowItIsDoing(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants(map[any]any{"length": int64(0), "delayed": int64(0), "paused": int64(0), "waiting": int64(0), "oldest_age_ms": int64(0), "groups": []any{},
		"published": int64(0), "retried": int64(0), "dead": int64(0), "expired": int64(0), "cancelled": int64(0),
		"held": int64(0), "keys": int64(0), "longest_line": int64(0), "longest_key": nil}, "TASK.STATS none")
	q.do("XADD s 1-0 payload old") // long ago
	ids := q.publish("s", "1", "2", "3", "4", "5", "6")
	q.do("TASK.CONSUME g a s 4")
	q.wants(int64(1), "TASK.ACK s g 1-0")
	q.do("TASK.NACK s g a % DELAY 3600000", ids[0])
	q.do("TASK.NACK s g a % MAXRETRIES 0 DEAD dead", ids[1])
	q.do("XDEL s % %", ids[2], ids[4]) // one is pending, one was not delivered
	q.do("TASK.EXTEND s g a %", ids[2])
	q.do("TASK.CONSUME late b s")
	q.do("TASK.PUBLISH s later DELAY 3600000")
	q.do("TASK.REDRIVE dead")
	q.do("TASK.PAUSE s")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "x", "y")
	noAnswer(t, w)

	stats := q.stats("s")
	for field, want := range map[string]int64{"length": 3, "delayed": 2, "paused": 1, "waiting": 2} {
		if stats[field] != want {
			t.Errorf("%s is %v, want %d", field, stats[field], want)
		}
	}
	want := map[string]int64{"ready": 3, "pending": 0, "consumers": 1, "waiting": 2, "delivered": 4, "acked": 1, "reclaimed": 0, "lost_trimmed": 1}
	got := q.group("s", "g")
	delete(got, "oldest_pending_ms")
	delete(got, "lease_ms")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("group g (-want +got):\n%s", diff)
	}
	if late := q.group("s", "late"); late["ready"] != 2 || late["pending"] != 1 {
		t.Errorf("group late: %v, want 2 ready, 1 pending", late)
	}
	for field, want := range map[string]int64{
		"published": 7, "delivered": 5, "acked": 1, "retried": 1, "dead": 1, "redriven": 1, "lost_trimmed": 1,
		"put_off": 2, "delayed": 2, "waiting": 2, "waiting_streams": 1, "reclaimed": 0, "ghosts_reclaimed": 0,
	} {
		if got := q.info("taskqueue_" + field); got != want {
			t.Errorf("INFO: %s is %d, want %d", field, got, want)
		}
	}
	q.do("XADD old 1-0 payload x")
	if age := q.stats("old")["oldest_age_ms"].(int64); age < 1e12 {
		t.Errorf("an entry of 1970 is said to be %d ms old", age)
	}
}
