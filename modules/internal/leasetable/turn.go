package leasetable

// A turn of the event loop calls BeginTurn, then Undecided until it is empty or a
// Batch was decided, then Ready until it is nil, and sets a timer for Next.

// BeginTurn starts a new batch. It marks as undecided the queues whose loader ran
// out of time and those that are to be rechecked, at most Batch of each: the next
// turn takes the others.
func (t *Table[W]) BeginTurn(now int64) {
	t.woken = 0
	for range Batch {
		item := t.due.PopDue(now)
		if item == nil {
			break
		}
		t.markUndecided(item.Value)
	}
	for range Batch {
		front := t.all.Front()
		if t.recheck == 0 || front == nil {
			t.recheck = 0
			return
		}
		t.recheck--
		front.Leave()
		t.all.Push(front)
		t.markUndecided(front.Waiter)
	}
}

// Recheck has the n queues that were rechecked longest ago looked at again in the
// next turns, as if their loader were gone: whether the server still serves the
// key, whether there is a value, and whether the lease lives.
func (t *Table[W]) Recheck(n int) { t.recheck = max(t.recheck, min(n, t.all.Len())) }

// Undecided is a key whose waiters have no loader as far as is known. Look whether
// there is a value, then call Resolve or Promote.
func (t *Table[W]) Undecided() (Key, bool) {
	if p := t.undecided.Front(); p != nil {
		return p.Waiter.key, true
	}
	return Key{}, false
}

// Ready takes out the next waiter to be woken with its Outcome. It returns nil when
// there is none or this turn's batch is full. Promoted waiters come first, because
// others wait for their load.
func (t *Table[W]) Ready() *Waiter[W] {
	if t.woken == Batch {
		return nil
	}
	w := t.nextReady()
	if w != nil {
		t.woken++
		t.Leave(w)
	}
	return w
}

func (t *Table[W]) nextReady() *Waiter[W] {
	if p := t.promoted.Front(); p != nil {
		return p.Waiter
	}
	if p := t.resolved.Front(); p != nil {
		return p.Waiter.waiters.Front().Waiter
	}
	return nil
}

// Next is when the next turn is wanted; ok is false when none is. A timer that is
// set for now fires in the same turn of the event loop, behind the commands, and its
// batch would come on top of theirs. So after somebody was woken the next turn is a
// millisecond away, about as long as it takes to answer a batch. No turn is wanted
// while nobody waits: an idle server sets no timer, however many leases it holds.
func (t *Table[W]) Next(now int64) (at int64, ok bool) {
	switch {
	case t.woken > 0:
		return now + 1, true
	case t.promoted.Len() > 0 || t.resolved.Len() > 0 || t.undecided.Len() > 0 || t.recheck > 0 && t.all.Len() > 0:
		return now, true
	}
	return t.due.Next()
}
