// Package leasetable decides who loads a missing value and what becomes of the
// clients that wait for it. It knows nothing of Redis: the clock, the first token
// and the watcher of keys are given to it, and it answers with decisions.
//
// A lease belongs to a key and is known by its token. Its holder loads alone until
// the deadline. After the deadline the next caller is granted a new lease, and the
// old token is dead. As long as nobody was granted a new one, a late holder may
// still store its value, until the end of its whole load. Everything else that ends
// a lease, above all an invalidation, makes its token worthless: what was read
// before an invalidation is not stored after it.
//
// The clients that wait for the same key stand in one queue. A queue either has a
// living lease, whose deadline is in the heap, or is in the list of undecided
// queues. So no waiter is ever forgotten; the tests hold this invariant.
package leasetable

import (
	"bytes"
	"unsafe"

	"holdfast/internal/deadline"
	"holdfast/modules/internal/waitq"
)

// Batch is how many waiters are woken, and how many queues are looked at, in one
// turn of the event loop. A woken waiter costs the server about ten microseconds
// and a copy of the value, so a thousand of them at once would be a pause that
// every client feels.
const Batch = 256

// AnyToken ends a lease whoever holds it.
const AnyToken = 0

// Key is what a lease is for. The same name in another database is another key.
// The table copies Name where it keeps it.
type Key struct {
	DB   int
	Name []byte
}

func (k Key) clone() Key { return Key{k.DB, bytes.Clone(k.Name)} }

// Watcher is told which keys have a lease, so that it can report what others do
// to them. Watch returns the number that Unwatch will be given. The table calls
// Watch once for each key with a lease, however often the lease changes hands.
type Watcher interface {
	Watch(Key) uint64
	Unwatch(uint64)
	UnwatchAll()
}

// Table holds the leases and the waiters. W is the caller's own value for a
// waiter. Times are unix milliseconds and durations milliseconds. The caller gives
// both, and has checked that durations are positive.
type Table[W any] struct {
	// Max is the most leases there are at a time, backoffs included. A new lease
	// beyond it takes the place of one that nobody waits for. 0 means no bound.
	Max int

	store  store
	watch  Watcher
	last   uint64 // the last token granted
	recent recent

	queues    map[id]*queue[W]
	all       waitq.Queue[*queue[W]] // the queue that was rechecked longest ago first
	recheck   int                    // how many queues of all are still to be rechecked
	due       deadline.Heap[*queue[W]]
	undecided waitq.Queue[*queue[W]]
	resolved  waitq.Queue[*queue[W]]
	promoted  waitq.Queue[*Waiter[W]]
	waiting   int
	woken     int // in this turn of the event loop

	promotions, evicted int // ever
}

// New makes an empty table. Tokens count up from first: choose it at random from a
// range so wide that a token from before a restart is never met again.
func New[W any](first uint64, w Watcher) *Table[W] {
	return &Table[W]{
		store:  newStore(w),
		watch:  w,
		last:   first,
		queues: make(map[id]*queue[W]),
	}
}

// Grant makes the caller the loader of k, if nobody is. A client that already waits
// comes first: then the first waiter is promoted and the caller is refused.
func (t *Table[W]) Grant(k Key, now, leaseMs, loadMs int64) (token uint64, ok bool) {
	i := t.store.id(k)
	old, there := t.store.get(i)
	if there && now < old.deadline && !t.store.flushed(old) {
		return 0, false
	}
	if q := t.queues[i]; q != nil {
		t.promote(q, now)
		return 0, false
	}
	if !there {
		t.makeRoom()
		old.watch = t.watch.Watch(k)
	}
	l := t.grant(i, k, old.watch, now, leaseMs, loadMs)
	t.store.sweep(now)
	return l.token, true
}

// Extend lets the holder load alone for leaseMs more from now on, but not beyond
// the end of the whole load. It is refused when the token is dead or the load is
// over.
func (t *Table[W]) Extend(k Key, token uint64, now, leaseMs int64) bool {
	i := t.store.id(k)
	l, ok := t.held(i, token, now)
	if !ok {
		return false
	}
	l.deadline = min(deadline.After(now, leaseMs), l.end)
	t.store.put(i, l)
	if q := t.queues[i]; q != nil {
		t.follow(q, l)
	}
	return true
}

// End takes the lease away. It returns how long ago the lease was granted, and
// whether its load was still going on. With a token, only the lease of that token
// is ended, and only before the end of its load; with AnyToken, any lease, and a
// backoff as well. The waiters of k are undecided afterwards: call Resolve or
// Promote next, or the next turn looks after them.
func (t *Table[W]) End(k Key, token uint64, now int64) (age int64, ok bool) {
	if t.store.n == 0 {
		return 0, false
	}
	i := t.store.id(k)
	var l lease
	if token == AnyToken {
		l, ok = t.get(i)
	} else {
		l, ok = t.held(i, token, now)
	}
	if !ok {
		return 0, false
	}
	_, failed := t.store.failures[i]
	t.store.remove(i, l)
	if q := t.queues[i]; q != nil {
		t.markUndecided(q)
	}
	return now - l.granted, now < l.end && !failed
}

// Lease is what is told of a lease: its age, what is left of the time its holder
// is alone, and what is left of the whole load, in milliseconds.
type Lease struct{ Age, Left, BudgetLeft int64 }

// Lease returns the lease of k, if its load is not over. A backoff is none.
func (t *Table[W]) Lease(k Key, now int64) (Lease, bool) {
	i := t.store.id(k)
	l, ok := t.get(i)
	if _, failed := t.store.failures[i]; !ok || failed || now >= l.end {
		return Lease{}, false
	}
	return l.tell(now), true
}

func (l lease) tell(now int64) Lease {
	return Lease{Age: now - l.granted, Left: max(l.deadline-now, 0), BudgetLeft: l.end - now}
}

// Leases is the number of leases whose load is not over. In a table of more than
// 10,000 leases it also counts those that are over and not swept yet: at most a
// quarter more in the long run.
func (t *Table[W]) Leases(now int64) int {
	if t.store.n > countExactly {
		return t.store.n - len(t.store.failures)
	}
	return t.store.live(now) - t.Backoffs(now)
}

// countExactly is how many leases or backoffs are counted one by one.
const countExactly = 10_000

// Evicted is how many leases were ended to make room for others, ever.
func (t *Table[W]) Evicted() int { return t.evicted }

// Bytes is the memory that the leases hold here. The watch of each key costs
// another 21 to 43 bytes where it is kept.
func (t *Table[W]) Bytes() (n int) {
	for i := range t.store.shards {
		n += len(t.store.shards[i].slots) * int(unsafe.Sizeof(slot{}))
	}
	return n
}

// Flush ends every lease of a database, or of all with db -1. It costs the same for
// one waiter and for many thousands: the next turns look after them.
func (t *Table[W]) Flush(db int) {
	if db < 0 {
		t.store.clear(t.watch)
	} else {
		t.store.flush(int32(db), t.last)
	}
	t.Recheck(t.all.Len())
}

// held returns the lease of i if token holds it and its load is not over.
func (t *Table[W]) held(i id, token uint64, now int64) (lease, bool) {
	l, ok := t.get(i)
	if !ok || l.token != token || now >= l.end {
		return l, false
	}
	// The token of a backoff was told to nobody: one who sends it has guessed it.
	_, failed := t.store.failures[i]
	return l, !failed
}

// get looks a lease up and leaves out what a flush has ended.
func (t *Table[W]) get(i id) (lease, bool) {
	l, ok := t.store.get(i)
	return l, ok && !t.store.flushed(l)
}

// grant stores a new lease in place of the old one. The key is watched already.
func (t *Table[W]) grant(i id, k Key, watch uint64, now, leaseMs, loadMs int64) lease {
	t.last++
	l := lease{
		token:    t.last,
		granted:  now,
		deadline: deadline.After(now, leaseMs),
		end:      deadline.After(now, max(leaseMs, loadMs)),
		watch:    watch,
		db:       int32(k.DB),
	}
	t.store.forgive(i)
	t.store.put(i, l)
	t.recent.add(i, l.token, k)
	return l
}

// makeRoom ends leases where there are too many. A few at a time are enough: a
// table grows by one lease at a time, and shrinks slowly when Max is lowered.
func (t *Table[W]) makeRoom() {
	for range 4 {
		if t.Max <= 0 || t.store.n < t.Max {
			return
		}
		before := t.store.n
		t.store.evict(func(i id) bool { return t.queues[i] != nil })
		if t.store.n == before {
			return // clients wait for all that were looked at
		}
		t.evicted += before - t.store.n
	}
}
