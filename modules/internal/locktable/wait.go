package locktable

// mustWait is the verdict on a request that cannot be granted now.
func (t *Table) mustWait(now int64, r *Request) (v Verdict, err error) {
	v.lines = make([]*line, 0, 1+len(r.Also))
	join := func(name []byte) {
		l := t.line(r.DB, name)
		if l == nil {
			l = &line{key: Key{r.DB, string(name)}, name: append([]byte(nil), name...), hash: t.store.Hash(r.DB, name), doubt: true}
			t.at(r.DB, name, func(k *lock) { t.sync(l, now, k) })
		}
		v.lines = append(v.lines, l)
		switch {
		case err != nil:
		case l.foreign:
			err = ErrWrongType
		case int64(l.queue.Len()) >= t.limits.MaxWaiters:
			t.Stats.QueueFull++
			err = ErrQueueFull
		}
	}
	join(r.Name)
	for _, name := range r.Also {
		join(name)
	}
	if err == nil {
		if cycle := t.cycle(string(r.Owner), r.Limit, v.lines); cycle != nil {
			t.Stats.Deadlocks++
			err = &DeadlockError{cycle}
		}
	}
	if err != nil {
		t.Drop(v)
		return Verdict{}, err
	}
	v.Wait = true
	return v, nil
}

// Drop forgets a verdict that told the caller to wait, where it cannot.
func (t *Table) Drop(v Verdict) {
	for _, l := range v.lines {
		if !l.listed {
			t.dropCursor(l)
		}
	}
}

// Enqueue puts w at the end of the lines that Acquire sent r to. Nothing may
// happen between the two calls.
func (t *Table) Enqueue(now int64, r *Request, v Verdict, w *Waiter) {
	w.Owner, w.Limit, w.Since = string(r.Owner), r.Limit, now
	w.ttl, w.client, w.session = r.TTL, r.Client, r.Session
	if len(r.Meta) > 0 {
		w.meta = append([]byte(nil), r.Meta...)
	}
	if w.entries = w.one[:]; len(v.lines) > 1 {
		w.entries = make([]entry, len(v.lines))
	}
	t.arrivals++
	w.seq = t.arrivals
	for i, l := range v.lines {
		t.list(l, now)
		s := &w.entries[i]
		s.line, s.place.Waiter = l, w
		l.queue.Push(&s.place)
		l.blocked = l.blocked || !l.waitsForItself(w)
		t.arm(l, now)
	}
	p := t.node(w.Owner)
	p.waits = append(p.waits, w)
	t.waiting++
	t.Stats.Contended++
}

// list makes a line known when the first sits down in it.
func (t *Table) list(l *line, now int64) {
	if l.listed {
		return
	}
	l.listed = true
	t.lines[l.key] = l
	l.due.Value, l.round.Waiter = l, l
	if t.round.Len() == 0 {
		t.roundAt = now + roundEvery
	}
	t.round.Push(&l.round)
	t.store.Watch(l.key.DB, l.name)
	t.index(l)
	if l.cursor != nil {
		t.recheck(l)
	}
	t.count(l, now)
}

// leave takes a waiter out of all its queues, and looks after the lines that it
// leaves; those of except are the caller's to look after.
func (t *Table) leave(w *Waiter, except *line) bool {
	if !w.entries[0].place.Waiting() {
		return false
	}
	for i := range w.entries {
		l := w.entries[i].line
		first := l.isFirst(w)
		w.entries[i].place.Leave()
		switch {
		case l == except:
		case l.queue.Len() == 0:
			t.forget(l)
		case first:
			t.recheck(l) // those behind may be let in where w was not
		}
	}
	t.waitsNoMore(w)
	return true
}

// waitsNoMore takes a waiter that has left its queues out of the books.
func (t *Table) waitsNoMore(w *Waiter) {
	t.waiting--
	p := t.nodes[w.Owner]
	p.waits.remove(w)
	t.dropIdle(w.Owner, p)
}

// Timeout takes away a waiter whose time is up. It answers false when the
// waiter had been granted the lock already: then the grant counts.
func (t *Table) Timeout(w *Waiter) bool {
	if !t.leave(w, nil) {
		return false
	}
	t.Stats.Timeouts++
	return true
}

// Gone takes away a waiter whose connection is lost. If it had been granted
// the lock and could not be told, it is the ghost: the lock is taken back at
// the next Run, and goes on to the next.
func (t *Table) Gone(w *Waiter) {
	if t.leave(w, nil) || w.Token == 0 {
		return
	}
	for i := range w.entries {
		t.lost = append(t.lost, lost{w.entries[i].line.key, w.Owner, w.Token})
	}
}

// keepFor makes a grant that was asked for again the newcomer's own: what was
// to be taken back because an earlier connection is gone stays, and a session
// ends with the connection that asked last.
func (t *Table) keepFor(k *lock, r *Request, token int64) {
	for i, g := range t.lost {
		if g.token == token && g.key.DB == k.db && g.key.Name == string(k.name) {
			t.lost = append(t.lost[:i], t.lost[i+1:]...)
			break
		}
	}
	if r.Session && t.sessions.move(k.name, token, r.Client) {
		t.store.WatchClient(r.Client)
	}
}

// forget ends a line in which nobody stands any more.
func (t *Table) forget(l *line) {
	if !l.listed {
		return
	}
	t.unindex(l)
	t.dropCursor(l)
	l.listed = false
	delete(t.lines, l.key)
	t.due.Remove(&l.due)
	l.round.Leave()
	t.count(l, 0) // at no time in particular: nothing is found run out
	t.store.Unwatch(l.key.DB, l.name)
}
