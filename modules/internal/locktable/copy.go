package locktable

import (
	"math"

	"holdfast/internal/deadline"
)

// sync makes the copy of the holders true again where it may not be. Of a lock with many holders
// it does a part, and has the line looked at again for the rest.
func (t *Table) sync(l *line, now int64, k *lock) {
	l.foreign, l.moved = k.Kind == Other, k.Kind == Elsewhere
	if l.doubt || k.Kind >= Other || k.Holders != l.fields || k.Expires != l.keyExpires {
		if k.Kind != Hash || k.Holders <= small {
			t.copyAll(l, now, k)
			return
		}
		t.copyAnew(l, k)
	}
	switch first, crowded := l.ends.Next(); {
	case l.cursor != nil:
		t.copySome(l, now, k)
	case crowded && first <= now:
		t.endDue(l, now, k)
	case !crowded && l.due.Set() && now >= l.due.At():
		t.copyAll(l, now, k)
	}
}

// copyAll copies the holders of the open lock, and clears away those whose lease
// is over. A holder that is in the copy and no longer in the keyspace was
// removed by DEL, BREAK or expiry.
func (t *Table) copyAll(l *line, now int64, k *lock) {
	t.dropCursor(l)
	t.unindex(l)
	before := l.holders
	l.holders, l.ends = make(map[string]*lease, k.Holders), deadline.Heap[*lease]{}
	var dead [][]byte
	l.limit = Exclusive
	isLock := t.records(k, func(owner []byte, h *Record) {
		t.fence.Saw(h.Token, now)
		if !h.Live(now) {
			dead = append(dead, append([]byte(nil), owner...))
			return
		}
		l.limit = h.Limit
		l.holders[string(owner)] = &lease{owner: string(owner), token: h.Token, expires: h.Expires}
	})
	if isLock {
		t.bury(k, dead, len(l.holders))
		for _, owner := range dead {
			if before[string(owner)] == nil { // else it is counted below
				t.ranOut(l.hash, k)
			}
		}
		if len(l.holders) == 0 {
			k.Found = Found{} // also where HLEN counts fields that have run out
		}
	} else {
		l.foreign = k.Kind != Elsewhere
		clear(l.holders)
	}
	for owner, was := range before {
		if l.holders[owner] == nil {
			t.vanished(l, now, k, was)
		}
	}
	l.fields, l.keyExpires, l.doubt = len(l.holders), k.Expires, false
	if l.foreign {
		l.fields = k.Holders
	}
	t.index(l)
	t.due.Remove(&l.due) // arm sets it anew
	t.count(l, now)
}

// vanished counts a holder who is gone without a word.
func (t *Table) vanished(l *line, now int64, k *lock, was *lease) {
	switch {
	case was.expires <= now:
		t.ranOut(l.hash, k)
	case !l.moved:
		t.Stats.Broken++
		k.event(Broken)
	}
}

// copyAnew begins to copy a lock with many holders.
func (t *Table) copyAnew(l *line, k *lock) {
	t.dropCursor(l)
	t.unindex(l)
	if l.ends.Len() == 0 {
		for _, h := range l.holders {
			h.end.Value = h
			l.ends.Put(&h.end, h.expires)
		}
	}
	l.cursor, l.doubt = t.store.Cursor(), false
	l.fields, l.keyExpires = k.Holders, k.Expires
	l.pass++
	if record, ok := t.store.Any(); ok {
		h, isLock := ParseRecord(record)
		l.limit, l.foreign = h.Limit, !isLock
	}
}

// copySome copies the next holders of a lock with many holders.
func (t *Table) copySome(l *line, now int64, k *lock) {
	var dead [][]byte
	more := t.store.Scan(l.cursor, slice, func(owner, field []byte) bool {
		h, ok := ParseRecord(field)
		if l.foreign = !ok; !ok {
			return false
		}
		t.fence.Saw(h.Token, now)
		if !h.Live(now) {
			dead = append(dead, append([]byte(nil), owner...))
			return true
		}
		t.met(l, string(owner), h.Token, h.Expires)
		return true
	})
	for _, owner := range dead {
		if was := l.holders[string(owner)]; was != nil {
			l.drop(was)
		}
		k.remove(owner)
		t.ranOut(l.hash, k)
	}
	l.fields, l.keyExpires = k.Holders, k.Expires
	if more && !l.foreign {
		t.recheck(l)
		return
	}
	t.dropCursor(l)
	for _, h := range l.holders {
		if h.pass != l.pass {
			l.drop(h)
			t.vanished(l, now, k, h)
		}
	}
	t.index(l)
	t.due.Remove(&l.due)
	t.count(l, now)
}

// met puts a holder of a lock with many holders into the copy.
func (t *Table) met(l *line, owner string, token, expires int64) {
	h := l.holders[owner]
	if h == nil {
		h = &lease{owner: owner}
		h.end.Value = h
		if l.holders == nil {
			l.holders = map[string]*lease{}
		}
		l.holders[owner] = h
	}
	h.token, h.expires, h.pass = token, expires, l.pass
	l.ends.Put(&h.end, expires)
}

// endDue ends the leases of a lock with many holders that the copy says are over, each after a
// look at its record.
func (t *Table) endDue(l *line, now int64, k *lock) {
	t.due.Remove(&l.due)
	for range slice {
		i := l.ends.PopDue(now)
		if i == nil {
			break
		}
		h := i.Value
		record, there := t.store.Record([]byte(h.owner))
		r, ok := ParseRecord(record)
		if there && ok && r.Live(now) {
			t.met(l, h.owner, r.Token, r.Expires)
			continue
		}
		t.unindexOne(l, h.owner)
		delete(l.holders, h.owner)
		if there && ok {
			k.remove([]byte(h.owner))
		}
		t.ranOut(l.hash, k)
	}
	if at, ok := l.ends.Next(); ok && at <= now {
		t.recheck(l)
	}
	l.fields, l.keyExpires = k.Holders, k.Expires
}

func (t *Table) dropCursor(l *line) {
	if l.cursor != nil {
		l.cursor.Close()
		l.cursor = nil
	}
}

// drop takes a holder out of the copy of a lock with many holders.
func (l *line) drop(h *lease) {
	l.ends.Remove(&h.end)
	delete(l.holders, h.owner)
}

// joined takes note of a new holder.
func (t *Table) joined(l *line, k *lock, r *Request, token, expires, now int64) {
	h := &lease{owner: string(r.Owner), token: token, expires: expires, pass: l.pass}
	if was := l.holders[h.owner]; was != nil {
		l.ends.Remove(&was.end)
	} else {
		t.indexOne(l, h.owner)
	}
	if l.holders == nil {
		l.holders = map[string]*lease{}
	}
	l.holders[h.owner] = h
	if h.end.Value = h; l.ends.Len() > 0 || l.cursor != nil {
		l.ends.Put(&h.end, expires)
	}
	l.limit, l.fields, l.keyExpires = r.Limit, k.Holders, k.Expires
	if l.due.Set() && expires < l.due.At() {
		t.due.Put(&l.due, expires)
	}
	t.count(l, now)
}

// prolonged takes note of a lease that now ends at expires.
func (t *Table) prolonged(l *line, k *lock, owner []byte, expires, now int64) {
	h := l.holders[string(owner)]
	if h == nil {
		return // written by hand, or not copied yet
	}
	h.expires, l.keyExpires = expires, k.Expires
	if h.end.Set() {
		l.ends.Put(&h.end, expires)
	}
	t.count(l, now)
	if l.due.Set() && expires < l.due.At() {
		t.due.Put(&l.due, expires)
	}
}

// left takes note that a holder has gone.
func (t *Table) left(l *line, owner []byte) {
	if h := l.holders[string(owner)]; h != nil {
		t.unindexOne(l, h.owner)
		l.drop(h)
	}
}

// empty takes note that nobody holds the lock any more.
func (t *Table) empty(l *line) {
	t.unindex(l)
	t.dropCursor(l)
	clear(l.holders)
	l.ends = deadline.Heap[*lease]{}
	l.fields, l.keyExpires = 0, 0
	t.index(l)
}

// count keeps the gauge. What runs out while somebody waits is counted by the
// copy, for each holder, so the gauge is not to count it as well.
func (t *Table) count(l *line, now int64) {
	switch {
	case l.fields == 0 || l.foreign:
		t.gauge(l.hash, 0, now)
	case l.listed:
		t.gauge(l.hash, math.MaxInt64, now)
	default:
		t.gauge(l.hash, l.keyExpires, now)
	}
}

// isLock makes the copy of the holders true, and tells whether what is open is
// a lock. If not, those who wait are told so. Who holds it may still let go.
func (t *Table) isLock(l *line, now int64, k *lock) bool {
	t.sync(l, now, k)
	if l.foreign {
		t.fail(l, ErrWrongType)
	}
	return !l.foreign
}
