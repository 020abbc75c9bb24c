package leasetable

import (
	"bytes"

	"holdfast/internal/deadline"
	"holdfast/internal/waitq"
)

// Status is what a caller is told.
type Status uint8

// What there is to tell.
const (
	Wait   Status = iota // someone else loads
	Load                 // you load
	Hit                  // here is the value
	Stale                // here is the old value; someone refreshes it
	Absent               // there is nothing, and that is known
	Failed               // the load failed
)

// Outcome is a decision about a waiter. Value is shared by all who waited
// together and must not be changed.
type Outcome struct {
	Status Status
	Token  uint64 // with Load
	Value  []byte // with Hit
	Err    string // with Failed: a whole error reply
}

// Waiter is one parked caller. The durations are those of the lease it gets if
// it is promoted.
type Waiter[W any] struct {
	Who             W
	LeaseMs, LoadMs int64

	room  *room[W]
	place waitq.Place[*Waiter[W]]
	token uint64
}

// room is where those wait who wait for one load. Once it is told an outcome it
// is no longer entered: who comes later waits for something else.
type room[W any] struct {
	id      id
	key     Key
	queue   waitq.Queue[*Waiter[W]]
	due     deadline.Item[*room[W]]
	place   waitq.Place[*room[W]] // among the unsettled, or among the told
	outcome *Outcome
}

// Wait parks w, to whom Grant has just refused k.
func (t *Table[W]) Wait(k Key, w *Waiter[W]) {
	i := t.store.id(k)
	r := t.rooms[i]
	if r == nil {
		r = &room[W]{id: i, key: Key{k.DB, bytes.Clone(k.Name)}}
		r.due.Value, r.place.Waiter = r, r
		t.rooms[i] = r
		if l, ok := t.get(i); ok {
			t.settle(r, l)
		} else {
			t.unsettle(r)
		}
	}
	w.room, w.place.Waiter = r, w
	r.queue.Push(&w.place)
	t.waiting++
}

// Outcome is what was decided about w; Wait as long as nothing is.
func (w *Waiter[W]) Outcome() Outcome {
	switch {
	case w.token != 0:
		return Outcome{Status: Load, Token: w.token}
	case w.room != nil && w.room.outcome != nil:
		return *w.room.outcome
	}
	return Outcome{}
}

// Tell decides for all who wait for k and says how many they are. They are
// woken by Ready, a batch each turn.
func (t *Table[W]) Tell(k Key, o Outcome) int {
	r := t.rooms[t.store.id(k)]
	if r == nil {
		return 0
	}
	t.close(r)
	r.outcome = &o
	t.told.Push(&r.place)
	return r.queue.Len()
}

// Promote makes the first who waits for k its loader, if k has none. The others
// go on waiting.
func (t *Table[W]) Promote(k Key, now int64) bool {
	i := t.store.id(k)
	r := t.rooms[i]
	if l, ok := t.get(i); r == nil || ok && now < l.deadline {
		return false
	}
	t.promote(r, now)
	return true
}

// Leave takes w out of whatever it waits in: its time is over, or it is
// answered. Its Outcome stays: who times out when the value is already there
// still gets it.
func (t *Table[W]) Leave(w *Waiter[W]) {
	if !w.place.Leave() {
		return
	}
	t.waiting--
	if r := w.room; w.token == 0 && r.queue.Len() == 0 {
		t.close(r)
	}
}

// Gone is Leave for one who can no longer be answered. If it had been told to
// load, its lease goes to the next.
func (t *Table[W]) Gone(w *Waiter[W], now int64) {
	t.Leave(w)
	if w.token == 0 {
		return
	}
	if _, ok := t.End(w.room.key, w.token, now); ok {
		t.Promote(w.room.key, now)
	}
}

// Promotions is how often a waiter was made a loader, ever.
func (t *Table[W]) Promotions() int { return t.promotions }

// Waiting is the number of all who wait, those who are decided about but not
// woken yet among them.
func (t *Table[W]) Waiting() int { return t.waiting }

// WaitingFor is the number of those who wait for k with nothing decided.
func (t *Table[W]) WaitingFor(k Key) int {
	if r := t.rooms[t.store.id(k)]; r != nil {
		return r.queue.Len()
	}
	return 0
}

// promote gives the lease of a room to the first in it.
func (t *Table[W]) promote(r *room[W], now int64) {
	w := r.queue.Front().Waiter
	w.place.Leave()
	old, there := t.store.get(r.id)
	if !there {
		old.watch = t.watch.Watch(r.key)
	}
	l := t.grant(r.id, r.key.DB, old.watch, now, w.LeaseMs, w.LoadMs)
	w.token = l.token
	t.promotions++
	t.promoted.Push(&w.place)
	if r.queue.Len() == 0 {
		t.close(r)
		return
	}
	t.settle(r, l)
}

// settle notes that those in a room wait for this lease.
func (t *Table[W]) settle(r *room[W], l lease) {
	r.place.Leave()
	t.due.Put(&r.due, l.deadline)
}

// unsettle notes that those in a room have lost their loader.
func (t *Table[W]) unsettle(r *room[W]) {
	t.due.Remove(&r.due)
	if !r.place.Waiting() {
		t.unsettled.Push(&r.place)
	}
}

// close lets nobody enter a room any more. A room that was told is no longer in
// the map: another one may stand there under the same id.
func (t *Table[W]) close(r *room[W]) {
	if t.rooms[r.id] == r {
		delete(t.rooms, r.id)
	}
	t.due.Remove(&r.due)
	r.place.Leave()
}
