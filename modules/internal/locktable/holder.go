package locktable

import "holdfast/internal/deadline"

// Claim is what a holder says of itself when it wants to go on or to let go.
type Claim struct {
	DB    int
	Name  []byte
	Also  [][]byte // further locks, all different
	Owner []byte
	Token int64 // of the grant that is meant; 0 for whichever there is
}

// claimed is the live record that the claim is about.
func (t *Table) claimed(now int64, k *lock, c *Claim) (h Record, ok bool, err error) {
	h, ok, err = t.find(now, k, c.Owner)
	return h, ok && (c.Token == 0 || c.Token == h.Token), err
}

// all tells whether the claim is true of all its further locks, and answers the
// error of the first that is no lock.
func (t *Table) all(now int64, c *Claim) (held bool, err error) {
	held = true
	for _, name := range c.Also {
		t.peek(c.DB, name, func(k *lock) {
			ok := false
			_, ok, err = t.claimed(now, k, c)
			held = held && ok
		})
		if err != nil {
			return false, err
		}
	}
	return held, nil
}

// Extend makes the owner's lease end at now + ttl, which may be earlier than
// before, in all locks of the claim or in none. It tells whether the owner held
// them.
func (t *Table) Extend(now int64, c *Claim, ttl int64) (done bool, err error) {
	held, err := t.all(now, c)
	if err != nil {
		return false, err
	}
	expires := deadline.After(now, ttl)
	t.at(c.DB, c.Name, func(k *lock) {
		var h Record
		if h, done, err = t.claimed(now, k, c); done && held {
			t.extend(now, k, c.Owner, &h, expires)
		}
	})
	if done = done && held; !done {
		return false, err
	}
	for _, name := range c.Also {
		t.at(c.DB, name, func(k *lock) {
			if h, ok, _ := t.claimed(now, k, c); ok {
				t.extend(now, k, c.Owner, &h, expires)
			}
		})
	}
	return true, nil
}

func (t *Table) extend(now int64, k *lock, owner []byte, h *Record, expires int64) {
	before := h.Expires
	h.Expires = expires
	if k.Kind == Text {
		k.expireAt(expires)
		t.gauge(k.hash, expires, now)
	} else {
		k.put(owner, h, 0)
		t.shortened(k.hash, expires)
		t.settle(now, k, owner, before, expires)
	}
	if h.Session {
		t.sessions.extend(k.name, h.Token, expires)
	}
	if l := t.line(k.db, k.name); l != nil {
		t.prolonged(l, k, owner, expires, now)
	}
	t.Stats.Extended++
}

// Release gives the locks back, and each to the next in line. It answers how
// many the owner held. A release that means no grant in particular also calls
// off the owner's waits for these locks.
func (t *Table) Release(now int64, c *Claim) (released int, err error) {
	if _, err = t.all(now, c); err != nil {
		return 0, err
	}
	if err = t.release(now, c, c.Name, &released); err != nil {
		return 0, err
	}
	for _, name := range c.Also {
		_ = t.release(now, c, name, &released) // all has looked
	}
	t.serveGroups(now)
	return released, nil
}

func (t *Table) release(now int64, c *Claim, name []byte, released *int) (err error) {
	if c.Token == 0 {
		t.withdraw(c.DB, name, c.Owner)
	}
	t.at(c.DB, name, func(k *lock) {
		l := t.line(k.db, k.name)
		isLock := l != nil && t.isLock(l, now, k)
		h, ok, e := t.claimed(now, k, c)
		if err = e; ok {
			t.takeOut(now, k, c.Owner, &h)
			t.Stats.Released++
			if !k.foreign {
				t.Stats.Hold.Record(now - h.Acquired)
			}
			k.event(Released)
			*released++
		}
		if isLock {
			t.serveSynced(l, now, k)
		}
	})
	return err
}

// takeOut removes one holder from the open lock, for a reason its caller tells
// by counter and event.
func (t *Table) takeOut(now int64, k *lock, owner []byte, h *Record) {
	if h.Session {
		t.sessions.forget(k.name, h.Token)
	}
	l := t.line(k.db, k.name)
	if l != nil {
		t.left(l, owner)
	}
	if k.Kind == Text || k.Holders <= 1 {
		k.delete()
		t.gauge(k.hash, 0, now)
		t.letGo(now, k.db, k.name)
	} else {
		k.remove(owner)
		t.settle(now, k, owner, h.Expires, 0)
	}
	if l != nil {
		l.fields, l.keyExpires = k.Holders, k.Expires
		t.count(l, now)
	}
}

// settle gives the key of a hash the expiry of its last holder, after the lease
// of owner moved from before to after (0 when the owner left).
func (t *Table) settle(now int64, k *lock, owner []byte, before, after int64) {
	last := after
	switch {
	case k.Expires > 0 && after >= k.Expires, after > 0 && k.Holders == 1:
	case k.Expires > 0 && before < k.Expires:
		return // another one is the last, as it was
	default:
		if last = max(after, t.lastExpiry(k, owner)); last == 0 { // somebody wrote into it: the rest is none of ours
			t.gauge(k.hash, 0, now)
			return
		}
	}
	if last != k.Expires {
		k.expireAt(last)
		t.gauge(k.hash, last, now)
	}
}

// lastExpiry is when the last lease of the open hash ends, that of one owner
// left out.
func (t *Table) lastExpiry(k *lock, except []byte) (last int64) {
	if l := t.line(k.db, k.name); l != nil && l.complete() {
		for owner, h := range l.holders {
			if owner != string(except) {
				last = max(last, h.expires)
			}
		}
		return last
	}
	t.store.Each(func(owner, record []byte) bool {
		if h, ok := ParseRecord(record); ok && (except == nil || string(owner) != string(except)) {
			last = max(last, h.Expires)
		}
		return true
	})
	return last
}

// Break takes the lock from one owner, or from all for a nil owner, and serves
// those who wait. It returns from how many it was taken. An owner that is named
// waits no longer either.
func (t *Table) Break(now int64, db int, name, owner []byte) (broken int, err error) {
	if owner != nil {
		t.withdraw(db, name, owner)
	}
	t.at(db, name, func(k *lock) {
		l := t.line(db, name)
		isLock := l != nil && t.isLock(l, now, k)
		if owner != nil {
			var h Record
			var ok bool
			if h, ok, err = t.find(now, k, owner); ok {
				t.takeOut(now, k, owner, &h)
				broken = 1
			}
		} else {
			broken, err = t.breakAll(now, k)
		}
		t.Stats.Broken += int64(broken)
		for range broken {
			k.event(Broken)
		}
		if isLock {
			t.serveSynced(l, now, k)
		}
	})
	t.serveGroups(now)
	return broken, err
}

// breakAll ends all leases of the open lock in one write.
func (t *Table) breakAll(now int64, k *lock) (live int, err error) {
	if k.Kind == Elsewhere {
		return 0, ErrMoved
	}
	if !t.records(k, func(_ []byte, h *Record) {
		if h.Live(now) {
			live++
		}
	}) {
		return 0, ErrWrongType
	}
	if live == 0 {
		return 0, nil
	}
	k.delete()
	t.gauge(k.hash, 0, now)
	t.letGo(now, k.db, k.name)
	if l := t.line(k.db, k.name); l != nil {
		t.empty(l)
	}
	return live, nil
}
