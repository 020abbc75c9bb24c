// Package leasetable decides who loads a missing value and what becomes of
// those who wait for it. It knows nothing of Redis: the clock, the first token
// and what watches a key are given to it, and it answers with decisions.
//
// A lease belongs to a key and is known by its token. Its holder is alone until
// the deadline; after it the next caller is granted a new lease, and the old
// token is dead. While nobody took its place, a late holder may still store,
// until the end of its whole load. Whatever else ends a lease, an invalidation
// above all, makes its token worthless: what was read before is not stored
// after.
//
// Whoever waits for a key waits in its room. A room always has a lease whose
// deadline is in the heap, or stands in the queue of the unsettled, so that
// nobody is forgotten: this is the invariant the tests hold.
package leasetable

import (
	"hash/maphash"
	"unsafe"

	"holdfast/internal/deadline"
	"holdfast/internal/waitq"
)

// Batch is how many waiters are woken in one turn of the event loop. Each costs
// the server about ten microseconds and a copy of the value, so a thousand of
// them at once would be a pause that everyone feels.
const Batch = 256

// AnyToken ends a lease whoever holds it.
const AnyToken = 0

// Key is what a lease is for. A name in another database is another key. The
// table does not keep Name, except a copy while somebody waits for it.
type Key struct {
	DB   int
	Name []byte
}

// Watcher is told which keys have a lease, so that it can report what others do
// to them. Watch answers with whatever number Unwatch will want; it is called
// once for each key with a lease, however often the lease changes hands.
type Watcher interface {
	Watch(Key) uint64
	Unwatch(uint64)
}

// Table holds the leases and the waiters. W is what the caller knows a waiter
// by. Times are unix milliseconds and durations milliseconds, both given by the
// caller, who has checked that durations are positive.
type Table[W any] struct {
	store store
	watch Watcher
	last  uint64 // the last token granted

	rooms     map[id]*room[W]
	due       deadline.Heap[*room[W]]
	unsettled waitq.Queue[*room[W]]
	told      waitq.Queue[*room[W]]
	promoted  waitq.Queue[*Waiter[W]]
	waiting   int
	woken     int // in this turn of the event loop

	promotions int // ever
}

// New makes an empty table. Tokens count up from first: choose it at random
// from a range so wide that a token from before a restart is never met again.
func New[W any](first uint64, w Watcher) *Table[W] {
	return &Table[W]{
		store: store{
			seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
			void:    make(map[int32]uint64),
			unwatch: w.Unwatch,
		},
		watch: w,
		last:  first,
		rooms: make(map[id]*room[W]),
	}
}

// Grant makes the caller the loader of k, if nobody is. Whoever already waits
// comes first: then the first waiter is promoted and the caller is refused.
func (t *Table[W]) Grant(k Key, now, leaseMs, loadMs int64) (token uint64, ok bool) {
	i := t.store.id(k)
	old, there := t.store.get(i)
	if there && now < old.deadline && !t.store.flushed(old) {
		return 0, false
	}
	if r := t.rooms[i]; r != nil {
		t.promote(r, now)
		return 0, false
	}
	if !there {
		old.watch = t.watch.Watch(k)
	}
	l := t.grant(i, k.DB, old.watch, now, leaseMs, loadMs)
	t.store.sweep(now)
	return l.token, true
}

// Extend lets the holder be alone for leaseMs more from now on, but not beyond
// the end of the whole load. It is refused when the token is dead or the load
// is over.
func (t *Table[W]) Extend(k Key, token uint64, now, leaseMs int64) bool {
	i := t.store.id(k)
	l, ok := t.get(i)
	if !ok || l.token != token || now >= l.end {
		return false
	}
	l.deadline = min(after(now, leaseMs), l.end)
	t.store.put(i, l)
	if r := t.rooms[i]; r != nil {
		t.settle(r, l)
	}
	return true
}

// End takes the lease away and says how long ago it was granted, if its load is
// not over yet. With a token it does so only if that is the live one; with
// AnyToken, whoever holds it. Who waits for k is unsettled from then on: Tell or
// Promote in the same breath, or let the next turn find them.
func (t *Table[W]) End(k Key, token uint64, now int64) (age int64, ok bool) {
	i := t.store.id(k)
	l, ok := t.get(i)
	if !ok || token != AnyToken && (l.token != token || now >= l.end) {
		return 0, false
	}
	t.store.remove(i, l)
	if r := t.rooms[i]; r != nil {
		t.unsettle(r)
	}
	return now - l.granted, now < l.end
}

// Lease is what INFO tells of a lease: its age, and what is left of the time
// its holder is alone and of the whole load, in ms.
type Lease struct{ Age, Left, BudgetLeft int64 }

// Lease looks at the lease of k.
func (t *Table[W]) Lease(k Key, now int64) (Lease, bool) {
	l, ok := t.get(t.store.id(k))
	if !ok || now >= l.end {
		return Lease{}, false
	}
	return Lease{Age: now - l.granted, Left: max(l.deadline-now, 0), BudgetLeft: l.end - now}, true
}

// Leases is the number of leases whose load is not over. In a great table those
// that are over and not swept yet are counted too: at most a quarter more in the
// long run.
func (t *Table[W]) Leases(now int64) int {
	const great = 10_000
	if t.store.n > great {
		return t.store.n
	}
	return t.store.live(now)
}

// Bytes is the memory that the leases hold here. The watch of each key costs
// another 21 to 43 bytes where it is kept.
func (t *Table[W]) Bytes() (n int) {
	for i := range t.store.shards {
		n += len(t.store.shards[i].slots) * int(unsafe.Sizeof(slot{}))
	}
	return n
}

// Flush ends every lease of a database, or of all with db -1.
func (t *Table[W]) Flush(db int) {
	if db < 0 {
		t.store.clear()
	} else {
		t.store.flush(int32(db), t.last)
	}
	for _, r := range t.rooms {
		if db < 0 || r.key.DB == db {
			t.unsettle(r)
		}
	}
}

// get looks a lease up and leaves out what a flush has ended.
func (t *Table[W]) get(i id) (lease, bool) {
	l, ok := t.store.get(i)
	return l, ok && !t.store.flushed(l)
}

// grant files a new lease in place of whatever was there. The key is watched
// already.
func (t *Table[W]) grant(i id, db int, watch uint64, now, leaseMs, loadMs int64) lease {
	t.last++
	l := lease{
		token:    t.last,
		granted:  now,
		deadline: after(now, leaseMs),
		end:      after(now, max(leaseMs, loadMs)),
		watch:    watch,
		db:       int32(db),
	}
	t.store.put(i, l)
	return l
}
