package locktable

// Extend makes the owner's lease end at now + ttl, which may be earlier than
// before. It tells whether the owner held the lock.
func (t *Table) Extend(now int64, db int, name, owner []byte, ttl int64) (bool, error) {
	found := t.store.Open(db, name)
	defer t.store.Close()
	h, ok, err := t.holder(now, found, owner)
	if !ok || err != nil {
		return false, err
	}
	before := h.Expires
	h.Expires = now + ttl
	t.record = h.Append(t.record[:0])
	t.store.Put(owner, t.record, 0)
	if h.Session {
		t.sessions.extend(h.Token, h.Expires)
	}
	keyExpires := t.settle(now, db, name, found, before, h.Expires)
	if l := t.line(db, name); l != nil {
		t.extendInLine(l, now, owner, h.Expires, keyExpires)
	}
	t.Stats.Extended++
	return true, nil
}

// Release gives the lock back, and to the next in line. It tells whether the
// owner held it.
func (t *Table) Release(now int64, db int, name, owner []byte) (bool, error) {
	found := t.store.Open(db, name)
	defer t.store.Close()
	if l := t.line(db, name); l != nil && t.isLock(l, now, found) {
		return t.releaseInLine(l, now, owner), nil
	}
	h, ok, err := t.holder(now, found, owner)
	if !ok || err != nil {
		return false, err
	}
	t.drop(now, db, name, found, owner, &h)
	t.Stats.Released++
	t.store.Event(Released)
	return true, nil
}

// holder is the live record of owner in the open lock.
func (t *Table) holder(now int64, found Found, owner []byte) (h Record, ok bool, err error) {
	switch found.Kind {
	case Absent:
		return h, false, nil
	case Other:
		return h, false, ErrWrongType
	}
	record, there := t.store.Record(owner)
	if !there {
		record, _ = t.store.Any() // it may be no lock at all
	}
	if h, ok = ParseRecord(record); !ok {
		return h, false, ErrWrongType
	}
	t.fence.Saw(h.Token)
	return h, there && h.Live(now), nil
}

// drop takes one holder out of a lock that nobody waits for.
func (t *Table) drop(now int64, db int, name []byte, found Found, owner []byte, h *Record) {
	if h.Session {
		t.sessions.forget(h.Token)
	}
	if found.Holders == 1 {
		t.store.Delete()
		t.held.drop(t.held.hash(db, name), now)
		t.letGo(now, db, name)
		return
	}
	t.store.Remove(owner)
	t.settle(now, db, name, found, h.Expires, 0)
}

// settle gives the key the expiry of its last holder, after one of them moved
// from before to after (0 when it left). It returns that expiry.
func (t *Table) settle(now int64, db int, name []byte, found Found, before, after int64) int64 {
	last := after
	switch {
	case found.Expires > 0 && after >= found.Expires, found.Holders == 1:
	case found.Expires > 0 && before < found.Expires:
		return found.Expires // another one is the last, as it was
	default:
		if last = t.lastExpiry(); last == 0 { // somebody wrote into it: the rest is none of ours
			t.held.drop(t.held.hash(db, name), now)
			return found.Expires
		}
	}
	if last != found.Expires {
		t.store.ExpireAt(last)
		t.held.put(t.held.hash(db, name), last, now)
	}
	return last
}

// lastExpiry is when the last lease of the open lock ends.
func (t *Table) lastExpiry() (last int64) {
	t.store.Each(func(_, record []byte) bool {
		if h, ok := ParseRecord(record); ok {
			last = max(last, h.Expires)
		}
		return true
	})
	return last
}

// takeOut removes one holder from the open lock, for a reason its caller tells
// by counter and event.
func (t *Table) takeOut(l *line, now int64, owner string) {
	was := l.holders[owner]
	delete(l.holders, owner)
	t.indexHolder(l, owner, -1)
	t.sessions.forget(was.token)
	if len(l.holders) == 0 {
		t.store.Delete()
		l.keyExpires = 0
		t.count(l, now)
		t.letGo(now, l.key.DB, l.name)
		return
	}
	t.store.Remove([]byte(owner))
	if was.expires < l.keyExpires {
		return
	}
	if last := l.lastExpiry(); last != l.keyExpires {
		l.keyExpires = last
		t.store.ExpireAt(last)
		t.count(l, now)
	}
}

// isLock makes the copy of the holders true, and tells whether what is open is
// a lock. If not, those who wait are told so. Who holds it may still let go.
func (t *Table) isLock(l *line, now int64, found Found) bool {
	t.sync(l, now, found)
	if l.foreign {
		t.fail(l, ErrWrongType)
	}
	return !l.foreign
}

// releaseInLine is Release for a lock that somebody waits for.
func (t *Table) releaseInLine(l *line, now int64, owner []byte) bool {
	_, held := l.holders[string(owner)]
	if held {
		t.takeOut(l, now, string(owner))
		t.Stats.Released++
		t.store.Event(Released)
	}
	t.serveSynced(l, now)
	return held
}

// extendInLine keeps the copy of the holders true to a lease that now ends at
// expires.
func (t *Table) extendInLine(l *line, now int64, owner []byte, expires, keyExpires int64) {
	was, known := l.holders[string(owner)]
	if !known {
		return // written by hand; the round will find it
	}
	l.holders[string(owner)] = lease{was.token, expires}
	l.keyExpires = keyExpires
	t.count(l, now)
	if l.due.Set() && expires < l.due.At() {
		t.due.Put(&l.due, expires)
	}
}
