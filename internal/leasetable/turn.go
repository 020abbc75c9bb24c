package leasetable

// What a turn of the event loop does: BeginTurn, then Unsettled until it is
// empty or enough, then Ready until it is nil, then a timer for Next.

// BeginTurn starts a new batch, and unsettles the rooms whose loader ran out of
// time: Batch of them at most, the next turn takes the others.
func (t *Table[W]) BeginTurn(now int64) {
	t.woken = 0
	for range Batch {
		item := t.due.PopDue(now)
		if item == nil {
			return
		}
		t.unsettle(item.Value)
	}
}

// Unsettled is a key whose waiters have lost their loader, and nothing is
// decided about them. Look whether there is a value, then Tell or Promote.
func (t *Table[W]) Unsettled() (Key, bool) {
	if p := t.unsettled.Front(); p != nil {
		return p.Waiter.key, true
	}
	return Key{}, false
}

// Ready takes out the next waiter to be woken with its Outcome, or nil when
// there is none or this turn's batch is full. Promoted ones come first: all who
// wait behind them wait for their load.
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
	if p := t.told.Front(); p != nil {
		return p.Waiter.queue.Front().Waiter
	}
	return nil
}

// Next is when the next turn is wanted. A timer for now still fires in the turn in
// which it is set, behind the commands, and its batch would come on top of theirs;
// so once somebody was woken the next turn is a millisecond away, about as long as
// it takes to answer a batch. Nothing is wanted while nobody waits, so an idle
// server sets no timer however many leases it holds.
func (t *Table[W]) Next(now int64) (at int64, ok bool) {
	switch {
	case t.woken > 0:
		return now + 1, true
	case t.promoted.Len() > 0 || t.told.Len() > 0 || t.unsettled.Len() > 0:
		return now, true
	}
	return t.due.Next()
}
