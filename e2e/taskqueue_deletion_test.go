package e2e

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

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

// Whatever is acknowledged together, in whatever order and with whatever else, is
// deleted, and nothing besides: not what lies before or between, done by another way.
// And a replica knows the same.
func TestOnlyWhatWasAcknowledgedIsDeleted(t *testing.T) {
	s, replica := taskServer(t), taskServer(t)
	q, r := tasksOn(t, s), tasksOn(t, replica)
	replicate(t, q, r)
	rnd := rand.New(rand.NewPCG(seeded(t), 0))
	var stream, pending []string // in order
	delivered := 0               // as many of all that were published
	var published []string
	without := func(all []string, gone ...string) []string {
		return slices.DeleteFunc(all, func(id string) bool { return slices.Contains(gone, id) })
	}
	some := func(all []string) []string { // a row of them, mostly from the first on
		if len(all) == 0 {
			return nil
		}
		from := 0
		if rnd.IntN(3) == 0 {
			from = rnd.IntN(len(all))
		}
		return slices.Clone(all[from : from+rnd.IntN(len(all)-from)+1])
	}
	command := func(name string, args []string) []any {
		all := []any{name, "s", "g"}
		if name == "XDEL" {
			all = all[:2]
		}
		for _, a := range args {
			all = append(all, a)
		}
		return all
	}
	q.do("XGROUP CREATE s g $ MKSTREAM")
	for step := range 400 {
		switch rnd.IntN(6) {
		case 0, 1:
			for range rnd.IntN(60) {
				id := q.publish("s", strings.Repeat("x", rnd.IntN(100)))[0]
				stream, published = append(stream, id), append(published, id)
			}
		case 2:
			for _, task := range tasksIn(q.do("TASK.CONSUME g c s %", rnd.IntN(100)+1)) {
				pending = append(pending, task.id)
			}
			delivered = slices.Index(published, q.XInfoGroups(q.ctx, "s").Val()[0].LastDeliveredID) + 1
		case 3: // by hand: what is done so stays
			if rnd.IntN(4) == 0 {
				ids := some(pending)
				ids = ids[:min(len(ids), 5)]
				if len(ids) > 0 {
					q.Do(q.ctx, command("XACK", ids)...)
					pending = without(pending, ids...)
				}
			}
		case 4: // and what is deleted so stays pending
			if ids := some(stream); len(ids) > 0 && rnd.IntN(4) == 0 {
				ids = ids[:min(len(ids), 5)]
				q.Do(q.ctx, command("XDEL", ids)...)
				stream = without(stream, ids...)
			}
		case 5:
			ids := some(pending)
			if rnd.IntN(3) == 0 {
				ids = slices.DeleteFunc(ids, func(string) bool { return rnd.IntN(8) == 0 })
			}
			if rnd.IntN(3) == 0 {
				rnd.Shuffle(len(ids), func(i, k int) { ids[i], ids[k] = ids[k], ids[i] })
			}
			if rnd.IntN(4) == 0 {
				ids = append(ids, some(published)...)
			}
			if len(ids) == 0 {
				continue
			}
			if err := q.Do(q.ctx, command("TASK.ACK", ids)...).Err(); err != nil {
				t.Fatal(err)
			}
			before := len(pending)
			pending = without(pending, ids...)
			for _, id := range ids { // an acknowledgement of nothing deletes nothing
				if len(pending) < before && slices.Contains(published[:delivered], id) {
					stream = without(stream, id)
				}
			}
		}
		var held []string
		for _, e := range q.XRange(q.ctx, "s", "-", "+").Val() {
			held = append(held, e.ID)
		}
		if diff := cmp.Diff(stream, held, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("step %d: the stream (-want +got):\n%s", step, diff)
		}
		if n := q.XPending(q.ctx, "s", "g").Val().Count; n != int64(len(pending)) {
			t.Fatalf("step %d: %d are pending, want %d", step, n, len(pending))
		}
	}
	q.Wait(q.ctx, 1, taskWait)
	if diff := cmp.Diff(q.do("XINFO STREAM s"), r.do("XINFO STREAM s")); diff != "" {
		t.Errorf("the replica (-primary +replica):\n%s", diff)
	}
}
