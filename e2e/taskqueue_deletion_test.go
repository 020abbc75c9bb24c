package e2e

import "testing"

// An entry is deleted when its last group acknowledged it, and not before:
// another group may not have read it yet, or hold it pending.
func TestAnEntryIsDeletedWhenEveryGroupIsDoneWithIt(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("XGROUP CREATE s slow 0 MKSTREAM")
	ids := q.publish("s", "1", "2", "3")
	q.do("TASK.CONSUME g c s 3")
	q.wants(int64(3), "TASK.ACK s g % % %", ids[0], ids[1], ids[2])
	q.wants(int64(3), "XLEN s") // slow has read none of them
	if got := taskPayloads(q.do("TASK.CONSUME slow c s 2")); got != "1 2" {
		t.Fatalf("the slow group got %q", got)
	}
	q.wants(int64(1), "TASK.ACK s slow %", ids[1])
	q.wants(int64(2), "XLEN s") // 1 is pending with slow, 3 unread
	q.wants(int64(1), "TASK.ACK s slow %", ids[0])
	q.wants(int64(1), "XLEN s")
	if got := taskPayloads(q.do("TASK.CONSUME slow c s 2")); got != "3" {
		t.Fatalf("the slow group got %q", got)
	}
	// Both have read it, and one of them is not done.
	both := q.publish("s", "both")[0]
	q.one("TASK.CONSUME g c s")
	q.one("TASK.CONSUME slow c s")
	q.wants(int64(1), "TASK.ACK s g %", both)
	q.wants(int64(2), "XLEN s")
	q.wants(int64(1), "TASK.ACK s slow %", both)
	q.wants(int64(1), "XLEN s")
	// Acknowledging what is nobody's does not delete.
	q.wants(int64(0), "TASK.ACK s g %", ids[2])
	q.wants(int64(1), "XLEN s")
	id := q.publish("s", "unread")[0]
	q.wants(int64(0), "TASK.ACK s g %", id)
	q.wants(int64(1), "TASK.ACK s slow % %", ids[2], id)
	q.wants(int64(1), "XLEN s")
	q.do("CONFIG SET taskqueue.keep-acked yes")
	q.do("XGROUP DESTROY s slow")
	q.one("TASK.CONSUME g c s")
	q.wants(int64(1), "TASK.ACK s g %", id)
	q.wants(int64(1), "XLEN s")
}

// However another group comes to a stream whose acknowledged entries were deleted
// a moment ago: from then on it keeps what it has not read.
func TestAGroupThatComesLaterKeepsItsEntriesHoweverItCame(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	cycle := func() { // one task through the group g
		t.Helper()
		q.publish("s", "x")
		q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
	}
	for _, way := range [][]string{
		{"XGROUP CREATE s late $"},
		{"EVAL return(redis.call('xgroup','create',KEYS[1],'late','$')) 1 s"},
		{"TASK.CONSUME late c s"},
		{"XGROUP DESTROY s g", "TASK.CONSUME late c s", "TASK.CONSUME g c s"},
		{"DEL s", "XGROUP CREATE s late 0 MKSTREAM", "TASK.CONSUME g c s"},
		{"RENAME s old", "TASK.CONSUME late c s", "TASK.CONSUME g c s"},
		{"XGROUP CREATE o late 0 MKSTREAM", "TASK.CONSUME g c o", "RENAME o s"},
		{"XGROUP CREATE o late 0 MKSTREAM", "TASK.CONSUME g c o", "COPY o s REPLACE"},
		{"XGROUP CREATE o late 0 MKSTREAM", "TASK.CONSUME g c o", "EVAL redis.call('restore',KEYS[1],0,redis.call('dump',KEYS[2]),'replace') 2 s o"},
		{"SWAPDB 0 1", "TASK.CONSUME late c s", "TASK.CONSUME g c s", "SWAPDB 0 1", "SWAPDB 0 1"},
		{"FLUSHALL", "TASK.CONSUME late c s", "TASK.CONSUME g c s"},
		{"XGROUP CREATE s late $", "DEBUG RELOAD"},
	} {
		q.do("FLUSHALL")
		cycle()
		cycle()
		q.wants(int64(0), "XLEN s")
		for _, line := range way {
			q.do(line)
		}
		cycle()
		if n := q.do("XLEN s"); n != int64(1) {
			t.Errorf("after %q: %v entries are left for the other group, want 1", way, n)
		}
	}
	// From another database, and back to one group again.
	q.do("FLUSHALL")
	cycle()
	q.do("DEL s")
	one := q.db(1)
	one.do("XGROUP CREATE s late 0 MKSTREAM")
	one.do("TASK.CONSUME g c s")
	one.do("MOVE s 0")
	cycle()
	q.wants(int64(1), "XLEN s")
	q.do("XGROUP DESTROY s late")
	cycle()
	q.wants(int64(1), "XLEN s")
}
