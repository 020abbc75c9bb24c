package locktable

// Holders visits the live holders of a lock and changes nothing, so it serves
// a replica too. It returns the limit they hold it with.
func (t *Table) Holders(now int64, db int, name []byte, visit func(owner []byte, r *Record)) (limit int64, err error) {
	found := t.store.Open(db, name)
	defer t.store.Close()
	switch found.Kind {
	case Absent:
		return 0, nil
	case Other:
		return 0, ErrWrongType
	}
	if !t.records(func(owner []byte, h *Record) {
		if h.Live(now) {
			limit = h.Limit
			visit(owner, h)
		}
	}) {
		return 0, ErrWrongType
	}
	return limit, nil
}

// records visits the records of the open hash, until it finds that the hash is
// no lock. One field is looked at first: a big hash of somebody's is not walked.
func (t *Table) records(visit func(owner []byte, r *Record)) (isLock bool) {
	first, _ := t.store.Any()
	if _, isLock = ParseRecord(first); isLock {
		t.store.Each(func(owner, field []byte) bool {
			var r Record
			if r, isLock = ParseRecord(field); isLock {
				visit(owner, &r)
			}
			return isLock
		})
	}
	return isLock
}

// Waiters visits those who wait for a lock, the first first.
func (t *Table) Waiters(db int, name []byte, visit func(w *Waiter)) {
	l := t.line(db, name)
	if l == nil {
		return
	}
	for p := l.queue.Front(); p != nil; p = p.Next() {
		visit(p.Waiter)
	}
}

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
	held, ranOut := t.held.count(now)
	t.Stats.Expired += ranOut
	return held
}

// Waiting is the number of those who wait, for all locks.
func (t *Table) Waiting() int { return t.waiting }

// LastToken is the greatest token handed out or seen.
func (t *Table) LastToken() int64 { return t.fence.Last() }
