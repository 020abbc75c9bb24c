package dispatch

import (
	"cmp"
	"slices"

	"holdfast/modules/internal/waitq"
)

// Waiter is a consumer that waits for tasks, in one stream or in several at
// once. Its owner embeds it and finds itself again by Owner.
type Waiter struct {
	Owner any

	ticket uint64
	places []place
	only   [1]place // the usual place, so that it needs no memory of its own
}

// place is a waiter's place in the queue of a group.
type place struct {
	waitq.Place[*Waiter]
	group  *Group
	leased *leasePlace // nil without a lease
}

// leasePlace is a waiter's place among those of its group with the same lease.
type leasePlace struct {
	waitq.Place[*Waiter]
	list *leaseList
}

// leaseList is the queue of a group's waiters with one lease. A task whose lease
// ran out after d ms goes to the longest waiting in the lists with a lease of d or
// less: the search passes by no waiter that cannot take the task.
type leaseList struct {
	lease int64
	queue waitq.Queue[*Waiter]
}

// Join stands the waiter in the queue of each group, behind all that wait there. It takes
// over what others were given lease milliseconds ago; 0 is never.
func (t *Table) Join(w *Waiter, lease int64, groups ...*Group) {
	t.tickets++
	w.ticket = t.tickets
	if len(groups) == 1 {
		w.only[0] = place{}
		w.places = w.only[:]
	} else {
		w.places = make([]place, len(groups)) // never grows: the queues hold pointers into it
	}
	for i, g := range groups {
		if g.queue.Len() == 0 {
			g.idle.Leave()
			g.Queue.waitedIn = append(g.Queue.waitedIn, g)
		}
		p := &w.places[i]
		p.Waiter, p.group = w, g
		g.queue.Push(&p.Place)
		if lease > 0 {
			p.leased = &leasePlace{list: g.listOf(lease)}
			p.leased.Waiter = w
			p.leased.list.queue.Push(&p.leased.Place)
			t.LookAt(g.Queue, g.Leases.Due(lease))
		}
	}
	t.waiting++
}

// Leave takes the waiter out of every queue it stands in, because it was served,
// its time is over or its connection is gone. It tells whether it still waited.
func (t *Table) Leave(w *Waiter) bool {
	if w.places == nil {
		return false
	}
	for i := range w.places {
		p := &w.places[i]
		g := p.group
		p.Place.Leave()
		if l := p.leased; l != nil && l.Leave() && l.list.queue.Len() == 0 {
			g.lists = slices.DeleteFunc(g.lists, func(o *leaseList) bool { return o == l.list })
		}
		if g.queue.Len() == 0 {
			g.Queue.waitedIn = slices.DeleteFunc(g.Queue.waitedIn, func(o *Group) bool { return o == g })
			t.idle.Push(&g.idle)
			t.calm(g.Queue)
		}
	}
	w.places = nil
	t.waiting--
	return true
}

// Groups calls f for each group the waiter waits in.
func (w *Waiter) Groups(f func(*Group)) {
	for i := range w.places {
		f(w.places[i].group)
	}
}

// listOf is the list of a lease, made when it is not there. The lists are in the
// order of their leases.
func (g *Group) listOf(lease int64) *leaseList {
	i, found := slices.BinarySearchFunc(g.lists, lease, func(l *leaseList, lease int64) int { return cmp.Compare(l.lease, lease) })
	if !found {
		g.lists = slices.Insert(g.lists, i, &leaseList{lease: lease})
	}
	return g.lists[i]
}

// Front is the waiter that has waited longest in the group, nil when none does.
func (g *Group) Front() *Waiter {
	if p := g.queue.Front(); p != nil {
		return p.Waiter
	}
	return nil
}

// FrontFor is the waiter that has waited longest of those that take over a task
// delivered idle milliseconds ago, nil when none does.
func (g *Group) FrontFor(idle int64) (first *Waiter) {
	for _, l := range g.lists {
		if l.lease > idle {
			break
		}
		if w := l.queue.Front().Waiter; first == nil || w.ticket < first.ticket {
			first = w
		}
	}
	return first
}

// Waiters calls f for each waiter of the group, the longest waiting first.
func (g *Group) Waiters(f func(*Waiter)) {
	for p := g.queue.Front(); p != nil; p = p.Next() {
		f(p.Waiter)
	}
}

// Waiting is the number of waiters in the group.
func (g *Group) Waiting() int { return g.queue.Len() }

// Shortest is the shortest lease somebody in the group waits with, 0 if none.
func (g *Group) Shortest() (lease int64) {
	if len(g.lists) > 0 {
		return g.lists[0].lease
	}
	return 0
}
