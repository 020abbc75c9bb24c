package locktable

import "slices"

// Holder is one holder as Holders tells of it.
type Holder struct {
	Record
	Foreign bool // a client's SET NX PX: its owner, its expiry, and nothing else is known
}

// Endless tells whether the lease has no end, because its key was made to PERSIST.
func (h *Holder) Endless() bool { return h.Expires == forever }

// Holders visits the live holders of a lock and changes nothing, so it serves
// a replica too. It returns the limit they hold it with.
func (t *Table) Holders(now int64, db int, name []byte, visit func(owner []byte, h *Holder)) (limit int64, err error) {
	t.peek(db, name, func(k *lock) {
		isLock := t.records(k, func(owner []byte, r *Record) {
			if r.Live(now) {
				limit = r.Limit
				visit(owner, &Holder{*r, k.foreign})
			}
		})
		if !isLock {
			limit, err = 0, ErrWrongType
		}
	})
	return limit, err
}

// IsHeld tells whether a lock of ours of that name is there, and whether owner is
// among its holders; a nil owner is anybody. It reads no more than one or two
// records.
func (t *Table) IsHeld(now int64, db int, name, owner []byte) (held bool) {
	t.peek(db, name, func(k *lock) {
		if owner != nil {
			_, held, _ = t.find(now, k, owner)
			return
		}
		switch k.Kind {
		case Text:
			held = k.holder.Live(now) && !k.foreign
		case Hash:
			record, _ := t.store.Any()
			_, held = ParseRecord(record)
		}
	})
	return held
}

// RanOut is how many leases of a lock ended before their holder let go, since
// the node began to grant. It is remembered of the locks that had it last.
func (t *Table) RanOut(now int64, db int, name []byte) int64 {
	t.store.Logged(t.noted)
	t.held.settle(now)
	return t.held.ofLock[t.store.Hash(db, name)]
}

// Waiters visits those who wait for a lock, the first first, until visit answers
// false.
func (t *Table) Waiters(db int, name []byte, visit func(w *Waiter) bool) {
	l := t.line(db, name)
	if l == nil {
		return
	}
	for p := l.queue.Front(); p != nil && visit(p.Waiter); p = p.Next() {
	}
}

// WaitsFor tells whether an owner waits for a lock.
func (t *Table) WaitsFor(db int, name, owner []byte) bool {
	l, p := t.line(db, name), t.nodes[string(owner)]
	if l == nil || p == nil {
		return false
	}
	return slices.ContainsFunc(p.waits, func(w *Waiter) bool { return w.in(l) })
}

// in tells whether the waiter stands in a line.
func (w *Waiter) in(l *line) bool {
	return slices.ContainsFunc(w.entries, func(s entry) bool { return s.line == l })
}

// Also is for how many further locks the waiter waits with each of its locks.
func (w *Waiter) Also() int { return len(w.entries) - 1 }

// QueueLen is the number of those who wait for one lock.
func (t *Table) QueueLen(db int, name []byte) int {
	if l := t.line(db, name); l != nil {
		return l.queue.Len()
	}
	return 0
}

// Contended visits the name of every lock in db that somebody waits for.
func (t *Table) Contended(db int, visit func(name string)) {
	for key := range t.lines {
		if key.DB == db {
			visit(key.Name)
		}
	}
}

// Held is the number of locks held, for the gauge. A replica does not keep it.
// It costs a few milliseconds for a million locks.
func (t *Table) Held(now int64) int64 {
	t.store.Logged(t.noted)
	held, ranOut := t.held.count(now)
	t.Stats.Expired += ranOut
	return held
}

// Waiting is the number of those who wait, for all locks.
func (t *Table) Waiting() int { return t.waiting }

// LastToken is the greatest token handed out or seen.
func (t *Table) LastToken() int64 { return t.fence.Last() }

// Seen is told of every lock found when a node has loaded or was promoted, so
// that tokens grow beyond those of its holders, and the gauge counts it.
func (t *Table) Seen(now int64, db int, name []byte) {
	t.peek(db, name, func(k *lock) {
		expires := k.Expires
		if t.records(k, func(_ []byte, h *Record) { t.fence.Saw(h.Token, now) }) && k.Kind != Absent && !k.foreign {
			if k.Kind == Text {
				expires = k.holder.Expires
			}
			if expires > now {
				t.gauge(k.hash, expires, now)
			}
		}
	})
}
