package leasetable

import (
	"holdfast/internal/deadline"
	"holdfast/modules/internal/waitq"
)

// Status is what a caller is told.
type Status uint8

// What a caller can be told.
const (
	Wait   Status = iota // another caller loads
	Load                 // you load
	Hit                  // here is the value
	Stale                // here is the old value; another caller refreshes it
	Absent               // it is known that there is no value
	Failed               // the load failed
)

// Outcome is a decision about a waiter. Value is shared by all who waited together
// and must not be changed.
type Outcome struct {
	Status Status
	Token  uint64 // with Load
	Value  []byte // with Hit
	Err    string // with Failed: a whole error reply
}

// Waiter is one client that waits. The durations are those of the lease it gets if
// it is promoted.
type Waiter[W any] struct {
	Who             W
	LeaseMs, LoadMs int64

	queue *queue[W]
	place waitq.Place[*Waiter[W]]
	token uint64
}

// queue holds the clients that wait for one load of a key. A resolved queue takes
// no more waiters: a client that comes later waits for another load.
type queue[W any] struct {
	id      id
	key     Key
	waiters waitq.Queue[*Waiter[W]]
	due     deadline.Item[*queue[W]]
	place   waitq.Place[*queue[W]] // in undecided or in resolved
	check   waitq.Place[*queue[W]] // in all
	outcome *Outcome
}

// Wait adds w to those who wait for k, after Grant has refused it k.
func (t *Table[W]) Wait(k Key, w *Waiter[W]) {
	i := t.store.id(k)
	q := t.queues[i]
	if q == nil {
		q = &queue[W]{id: i, key: k.clone()}
		q.due.Value, q.place.Waiter, q.check.Waiter = q, q, q
		t.queues[i] = q
		t.all.Push(&q.check)
		if l, ok := t.get(i); ok {
			t.follow(q, l)
		} else {
			t.markUndecided(q)
		}
	}
	w.queue, w.place.Waiter = q, w
	q.waiters.Push(&w.place)
	t.waiting++
}

// Key is what w waits for, or waited for.
func (w *Waiter[W]) Key() Key { return w.queue.key }

// Outcome is what was decided about w; its status is Wait until then.
func (w *Waiter[W]) Outcome() Outcome {
	switch {
	case w.token != 0:
		return Outcome{Status: Load, Token: w.token}
	case w.queue != nil && w.queue.outcome != nil:
		return *w.queue.outcome
	}
	return Outcome{}
}

// Resolve decides for all who wait for k and returns how many they are. Ready
// returns them, a batch each turn.
func (t *Table[W]) Resolve(k Key, o Outcome) int {
	if len(t.queues) == 0 {
		return 0
	}
	q := t.queues[t.store.id(k)]
	if q == nil {
		return 0
	}
	t.close(q)
	q.outcome = &o
	t.resolved.Push(&q.place)
	return q.waiters.Len()
}

// Promote makes the first who waits for k its loader, if k has none. The others go
// on waiting. If k has a loader, all go on waiting for it.
func (t *Table[W]) Promote(k Key, now int64) bool {
	if len(t.queues) == 0 {
		return false
	}
	i := t.store.id(k)
	q := t.queues[i]
	if q == nil {
		return false
	}
	if l, ok := t.get(i); ok && now < l.deadline {
		t.follow(q, l)
		return false
	}
	t.promote(q, now)
	return true
}

// Leave takes w out of its queue: its time is over, or it is answered. Its Outcome
// stays, so that a waiter whose time ends when the value is already there is still
// given the value.
func (t *Table[W]) Leave(w *Waiter[W]) {
	if !w.place.Leave() {
		return
	}
	t.waiting--
	if q := w.queue; w.token == 0 && q.waiters.Len() == 0 {
		t.close(q)
	}
}

// Gone is Leave for a waiter that can no longer be answered. If it was promoted,
// its lease goes to the next.
func (t *Table[W]) Gone(w *Waiter[W], now int64) {
	t.Leave(w)
	if w.token == 0 {
		return
	}
	if _, ok := t.End(w.queue.key, w.token, now); ok {
		t.Promote(w.queue.key, now)
	}
}

// Promotions is how often a waiter was made a loader, ever.
func (t *Table[W]) Promotions() int { return t.promotions }

// Waiting is the number of all who wait, including those whose outcome is decided
// and who are not woken yet.
func (t *Table[W]) Waiting() int { return t.waiting }

// WaitingFor is the number of those who wait for k with nothing decided.
func (t *Table[W]) WaitingFor(k Key) int {
	if len(t.queues) == 0 {
		return 0
	}
	if q := t.queues[t.store.id(k)]; q != nil {
		return q.waiters.Len()
	}
	return 0
}

// promote gives the lease of a key to the first in its queue.
func (t *Table[W]) promote(q *queue[W], now int64) {
	w := q.waiters.Front().Waiter
	w.place.Leave()
	old, there := t.store.get(q.id)
	if !there {
		old.watch = t.watch.Watch(q.key)
	}
	l := t.grant(q.id, q.key, old.watch, now, w.LeaseMs, w.LoadMs)
	w.token = l.token
	t.promotions++
	t.promoted.Push(&w.place)
	if q.waiters.Len() == 0 {
		t.close(q)
		return
	}
	t.follow(q, l)
}

// follow notes that a queue waits for this lease.
func (t *Table[W]) follow(q *queue[W], l lease) {
	q.place.Leave()
	t.due.Put(&q.due, l.deadline)
}

// markUndecided notes that a queue has no loader, as far as is known.
func (t *Table[W]) markUndecided(q *queue[W]) {
	t.due.Remove(&q.due)
	if !q.place.Waiting() {
		t.undecided.Push(&q.place)
	}
}

// close takes a queue out of all lists, so that nobody joins it any more. A
// resolved queue is no longer in the map: another one may stand there under the
// same id.
func (t *Table[W]) close(q *queue[W]) {
	if t.queues[q.id] == q {
		delete(t.queues, q.id)
	}
	t.due.Remove(&q.due)
	q.place.Leave()
	q.check.Leave()
}
