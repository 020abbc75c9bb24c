package dispatch

import (
	"slices"

	"holdfast/internal/waitq"
)

// Waiter is a consumer that waits for tasks, in one stream or in several at
// once. Its owner embeds it and finds itself again by Owner.
type Waiter struct {
	Owner any
	// Lease is after how many milliseconds the waiter takes over what others
	// were given; 0 is never.
	Lease int64

	ticket uint64
	seats  []seat
	only   [1]seat // the usual seat, so that it needs no memory of its own
}

type seat struct {
	waitq.Place[*Waiter]
	group *Group
	lane  *lane
}

// lane is the queue of a group's waiters with one lease. A new task goes to
// whoever waits longest in any lane; a task whose lease ran out after d ms only
// to the lanes with a lease of d or less. So neither search ever passes by
// waiters that cannot take the task.
type lane struct {
	lease int64
	queue waitq.Queue[*Waiter]
}

// fewLanes are kept when they are empty: they will be wanted again.
const fewLanes = 4

// Join stands the waiter in the queue of each group, behind all that wait there.
func (t *Table) Join(w *Waiter, groups ...*Group) {
	t.tickets++
	w.ticket = t.tickets
	if len(groups) == 1 {
		w.only[0] = seat{}
		w.seats = w.only[:]
	} else {
		w.seats = make([]seat, len(groups)) // never grows: the queues hold pointers into it
	}
	for i, g := range groups {
		if g.waiting == 0 {
			g.place.Leave()
			g.Queue.crowd = append(g.Queue.crowd, g)
		}
		g.waiting++
		s := &w.seats[i]
		s.Waiter, s.group, s.lane = w, g, g.laneOf(w.Lease)
		s.lane.queue.Push(&s.Place)
		if w.Lease > 0 {
			t.LookAt(g.Queue, g.Horizon.Due(w.Lease))
		}
	}
	t.waiting++
}

// Leave takes the waiter out of every queue it stands in, because it was served,
// its time is over or its connection is gone. It tells whether it still waited.
func (t *Table) Leave(w *Waiter) bool {
	if w.seats == nil {
		return false
	}
	for i := range w.seats {
		s := &w.seats[i]
		s.Place.Leave()
		g := s.group
		if s.lane.queue.Len() == 0 && len(g.lanes) > fewLanes {
			g.lanes = slices.DeleteFunc(g.lanes, func(l *lane) bool { return l == s.lane })
		}
		if g.waiting--; g.waiting == 0 {
			g.Queue.crowd = slices.DeleteFunc(g.Queue.crowd, func(o *Group) bool { return o == g })
			t.idle.Push(&g.place)
			t.calm(g.Queue)
		}
	}
	w.seats = nil
	t.waiting--
	return true
}

// Standing tells whether the waiter still waits.
func (w *Waiter) Standing() bool { return w.seats != nil }

// Groups calls f for every group the waiter stands in, in its order of priority.
func (w *Waiter) Groups(f func(*Group)) {
	for i := range w.seats {
		f(w.seats[i].group)
	}
}

func (g *Group) laneOf(lease int64) *lane {
	for _, l := range g.lanes {
		if l.lease == lease {
			return l
		}
	}
	l := &lane{lease: lease}
	g.lanes = append(g.lanes, l)
	return l
}

// Front is the waiter that has waited longest in the group, nil when none does.
func (g *Group) Front() *Waiter { return g.front(func(*lane) bool { return true }) }

// FrontFor is the waiter that has waited longest of those that take over a task
// delivered idle milliseconds ago, nil when none does.
func (g *Group) FrontFor(idle int64) *Waiter {
	return g.front(func(l *lane) bool { return l.lease > 0 && l.lease <= idle })
}

func (g *Group) front(eligible func(*lane) bool) (first *Waiter) {
	for _, l := range g.lanes {
		if p := l.queue.Front(); p != nil && eligible(l) && (first == nil || p.Waiter.ticket < first.ticket) {
			first = p.Waiter
		}
	}
	return first
}

// Waiting is the number of waiters in the group.
func (g *Group) Waiting() int { return g.waiting }

// Shortest is the shortest lease somebody in the group waits with, 0 if none.
func (g *Group) Shortest() (lease int64) {
	for _, l := range g.lanes {
		if l.lease > 0 && l.queue.Len() > 0 && (lease == 0 || l.lease < lease) {
			lease = l.lease
		}
	}
	return lease
}

// Handout is what a waiter was given and nobody has seen yet: between the
// hand-out and the reply its connection can die.
type Handout struct {
	Key
	Group    string
	Consumer string
	IDs      []ID
}

// Ghost notes a hand-out whose waiter is gone, until somebody may write.
func (t *Table) Ghost(h Handout) { t.ghosts = append(t.ghosts, h) }

// Ghosts takes out all hand-outs whose waiters are gone.
func (t *Table) Ghosts() []Handout {
	g := t.ghosts
	t.ghosts = nil
	return g
}

// Haunted tells whether there are hand-outs whose waiters are gone.
func (t *Table) Haunted() bool { return len(t.ghosts) > 0 }
