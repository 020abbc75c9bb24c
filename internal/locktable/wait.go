package locktable

// mustWait is the verdict on a request that cannot be granted now.
func (t *Table) mustWait(r *Request, l *line) (Verdict, error) {
	if l.foreign {
		return Verdict{}, ErrWrongType
	}
	if !r.Block {
		t.Stats.Refused++
		return Verdict{}, nil
	}
	if int64(l.queue.Len()) >= t.limits.MaxWaiters {
		t.Stats.QueueFull++
		return Verdict{}, ErrQueueFull
	}
	if cycle := t.cycle(string(r.Owner), r.Limit, l); cycle != nil {
		t.Stats.Deadlocks++
		return Verdict{}, &DeadlockError{cycle}
	}
	return Verdict{Wait: true, line: l}, nil
}

// Enqueue puts w at the end of the line that Acquire sent r to. Nothing may
// happen between the two calls.
func (t *Table) Enqueue(now int64, r *Request, v Verdict, w *Waiter) {
	l := v.line
	w.Owner, w.Limit, w.Since = string(r.Owner), r.Limit, now
	w.ttl, w.client, w.session = r.TTL, r.Client, r.Session
	if len(r.Meta) > 0 {
		w.meta = append([]byte(nil), r.Meta...)
	}
	if !l.listed {
		l.listed = true
		t.lines[l.key] = l
		for owner := range l.holders {
			t.indexHolder(l, owner, +1)
		}
		l.due.Value, l.round.Waiter = l, l
		if t.round.Len() == 0 {
			t.roundAt = now + roundEvery
		}
		t.round.Push(&l.round)
		t.store.Watch(l.key.DB, l.name)
		t.count(l, now)
	}
	t.arrivals++
	w.line, w.place.Waiter, w.seq = l, w, t.arrivals
	l.queue.Push(&w.place)
	t.party(w.Owner).waits.add(w)
	t.waiting++
	t.Stats.Contended++
	t.arm(l, now)
}

// leave takes a waiter out of its queue.
func (t *Table) leave(w *Waiter) bool {
	if !w.place.Leave() {
		return false
	}
	t.waiting--
	p := t.parties[w.Owner]
	p.waits.remove(w)
	t.dropIdle(w.Owner, p)
	return true
}

// Timeout takes away a waiter whose time is up. It answers false when the
// waiter had been granted the lock already: then the grant counts.
func (t *Table) Timeout(w *Waiter) bool {
	if !t.abandon(w) {
		return false
	}
	t.Stats.Timeouts++
	return true
}

// Gone takes away a waiter whose connection is lost. If it had been granted
// the lock and could not be told, it is the ghost: the lock is taken back at
// the next Run, and goes on to the next.
func (t *Table) Gone(w *Waiter) {
	if !t.abandon(w) && w.Token != 0 {
		t.lost = append(t.lost, lost{w.line.key, w.Owner, w.Token, true})
	}
}

func (t *Table) abandon(w *Waiter) bool {
	l := w.line
	head := l.queue.Front() == &w.place
	if !t.leave(w) {
		return false
	}
	switch {
	case l.queue.Len() == 0:
		t.forget(l)
	case head:
		t.summon(l) // those behind may be let in where it was not
	}
	return true
}

// forget ends a line in which nobody stands any more.
func (t *Table) forget(l *line) {
	if !l.listed {
		return
	}
	for owner := range l.holders {
		t.indexHolder(l, owner, -1)
	}
	l.listed = false
	delete(t.lines, l.key)
	t.due.Remove(&l.due)
	l.round.Leave()
	t.count(l, 0) // at no time in particular: nothing is found run out
	t.store.Unwatch(l.key.DB, l.name)
}
