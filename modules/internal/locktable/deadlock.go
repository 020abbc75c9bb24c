package locktable

import (
	"slices"

	"holdfast/modules/internal/waitq"
)

// node is an owner in the wait-for graph: where it waits, and of how
// many locks that others wait for it is a holder.
type node struct {
	waits waits
	holds int
}

// waits are the requests of one owner. It may wait on several connections.
type waits []*Waiter

func (s *waits) add(w *Waiter) { *s = append(*s, w) }

func (s *waits) remove(w *Waiter) {
	if i := slices.Index(*s, w); i >= 0 {
		*s = slices.Delete(*s, i, i+1)
	}
}

func (t *Table) node(owner string) *node {
	p := t.nodes[owner]
	if p == nil {
		p = &node{}
		t.nodes[owner] = p
	}
	return p
}

// dropIdle forgets a node that neither waits nor is waited for.
func (t *Table) dropIdle(owner string, p *node) {
	if p.holds == 0 && len(p.waits) == 0 {
		delete(t.nodes, owner)
	}
}

// index puts the holders of a line into the wait-for graph, once they are known. Those
// of a lock with many holders are left out: a deadlock through them is not looked for.
func (t *Table) index(l *line) {
	if l.indexed || !l.listed || !l.complete() || len(l.holders) > manyHolders {
		return
	}
	l.indexed = true
	for owner := range l.holders {
		t.node(owner).holds++
	}
}

func (t *Table) unindex(l *line) {
	if !l.indexed {
		return
	}
	for owner := range l.holders {
		t.unindexOne(l, owner)
	}
	l.indexed = false
}

func (t *Table) indexOne(l *line, owner string) {
	if !l.indexed {
		return
	}
	if len(l.holders) >= manyHolders {
		t.unindex(l)
		return
	}
	t.node(owner).holds++
}

func (t *Table) unindexOne(l *line, owner string) {
	if l.indexed {
		p := t.nodes[owner]
		p.holds--
		t.dropIdle(owner, p)
	}
}

// walkBudget is how many owners a walk looks at. Then it gives up and lets the
// newcomer wait: every lease ends some time, so a deadlock is a delay and never
// for ever.
const walkBudget = 10000

// walk looks for the way from a newcomer back to itself.
type walk struct {
	t        *Table
	newcomer string
	path     *step           // the last owner on the way, each waiting for the next
	on       map[string]bool // the owners on it
	free     map[string]bool // owners that will get what they wait for
	// In each queue the last of those found free from the front on, so that a
	// queue is walked once and not once for each who stands in it.
	verified map[*line]*waitq.Place[*Waiter]
	budget   int
}

// step is one owner on the way. Ways share their beginnings, so that a long one
// costs no more to keep than a short one.
type step struct {
	owner  string
	before *step
	closes bool // it stands on the way before, too
}

// cycle is the chain of owners that would wait for each other if owner waited
// in all of these lines, or nil. What counts is who really cannot go on:
//
//   - who wants another mode than the holders' waits for all of them to go;
//     who finds all places of a semaphore taken, for any one;
//   - both wait for all who stand before them in the queue, except for who only
//     waits for its own release;
//   - and who wants several locks waits for all of them.
//
// An owner that waits for nobody but itself is no deadlock: it may hold the
// lock on one connection and wait for it on another.
func (t *Table) cycle(owner string, limit int64, lines []*line) (owners []string) {
	if t.nodes[owner] == nil {
		return nil // nobody waits for it, so no way leads back
	}
	w := walk{
		t: t, newcomer: owner, on: map[string]bool{}, free: map[string]bool{},
		verified: map[*line]*waitq.Place[*Waiter]{}, budget: walkBudget,
	}
	w.push(owner)
	if !slices.ContainsFunc(lines, func(l *line) bool { return w.stuck(owner, limit, l, nil) }) {
		return nil
	}
	for s := w.path; s != nil; s = s.before {
		owners = append(owners, s.owner)
	}
	slices.Reverse(owners)
	return owners
}

func (w *walk) push(owner string) {
	w.path = &step{owner, w.path, w.on[owner]}
	w.on[owner] = true
}

// back returns to an earlier step.
func (w *walk) back(to *step) {
	for ; w.path != to; w.path = w.path.before {
		if !w.path.closes {
			delete(w.on, w.path.owner)
		}
	}
}

// stuck tells whether a request of owner in l, standing before place (at the
// end for nil), can never be granted. Then the path shows why.
func (w *walk) stuck(owner string, limit int64, l *line, place *Waiter) bool {
	_, itself := l.holders[owner]
	if !itself && w.queueStuck(owner, l, place) {
		return true
	}
	switch {
	case len(l.holders) == 0 || !l.complete() || len(l.holders) > manyHolders:
		return false
	case limit != l.limit: // all must go
		for h := range l.holders {
			if h != owner && w.ownerStuck(h) {
				return true
			}
		}
		return false
	case itself || limit == Shared || int64(len(l.holders)) < limit:
		return false
	}
	here := w.path // one may go
	var way *step
	for h := range l.holders {
		w.back(here)
		if !w.ownerStuck(h) {
			return false
		}
		if way == nil || way.owner != w.newcomer { // else it tells the newcomer most
			way = w.path
		}
	}
	if w.path != way {
		w.back(here)
		w.path = way
	}
	return true
}

// queueStuck tells whether anyone who stands before place can never go on. It
// looks no further than to the owner's own first place, and not at all for one
// that holds the lock: those behind that place wait for the owner too, so they
// are no more reason than it is itself.
func (w *walk) queueStuck(owner string, l *line, place *Waiter) bool {
	p := l.queue.Front()
	if verified := w.verified[l]; verified != nil {
		p = verified.Next()
	}
	for ; p != nil && (place == nil || p.Waiter.seq < place.seq); p = p.Next() {
		if p.Waiter.Owner == owner {
			return false
		}
		if w.budget--; w.budget < 0 {
			return false
		}
		if !l.waitsForItself(p.Waiter) && w.ownerStuck(p.Waiter.Owner) {
			return true
		}
		w.verified[l] = p
	}
	return false
}

// ownerStuck tells whether an owner that others wait for can never go on. If
// not, the path is as it was.
func (w *walk) ownerStuck(owner string) bool {
	if w.free[owner] {
		return false
	}
	if w.on[owner] {
		w.push(owner)
		return true
	}
	p := w.t.nodes[owner]
	if w.budget--; p == nil || w.budget < 0 {
		return false
	}
	here := w.path
	w.push(owner)
	for _, waiter := range p.waits {
		for i := range waiter.entries {
			if w.stuck(owner, waiter.Limit, waiter.entries[i].line, waiter) {
				return true
			}
		}
	}
	w.back(here)
	w.free[owner] = true
	return false
}
