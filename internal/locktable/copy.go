package locktable

import "math"

// read copies the holders of the open lock, and clears away those whose lease
// is over. Who is gone without a word was broken, or its time was up.
func (t *Table) read(l *line, now int64, found Found) {
	l.keyExpires, l.foreign, l.moved = found.Expires, found.Kind == Other, found.Kind == Elsewhere
	fresh := make(map[string]lease, found.Holders)
	limit := int64(Exclusive)
	if found.Kind == Hash {
		var dead []string
		l.foreign = !t.records(func(owner []byte, h *Record) {
			t.fence.Saw(h.Token)
			if !h.Live(now) {
				dead = append(dead, string(owner))
				return
			}
			limit = h.Limit
			fresh[string(owner)] = lease{h.Token, h.Expires}
		})
		if l.foreign {
			clear(fresh)
		} else {
			t.bury(l, dead, fresh)
		}
	}
	for owner, was := range l.holders {
		if _, still := fresh[owner]; still {
			continue
		}
		t.indexHolder(l, owner, -1)
		if was.expires <= now {
			t.Stats.Expired++
			t.store.Event(Expired)
		} else if !l.moved {
			t.Stats.Broken++
			t.store.Event(Broken)
		}
	}
	for owner := range fresh {
		if _, before := l.holders[owner]; !before {
			t.indexHolder(l, owner, +1)
		}
	}
	l.holders, l.limit, l.doubt = fresh, limit, false
	t.due.Remove(&l.due) // arm sets it anew
	t.count(l, now)
}

// count keeps the gauge. What runs out while somebody waits is counted by read,
// for each holder, so the gauge is not to count it as well.
func (t *Table) count(l *line, now int64) {
	hash := t.held.hash(l.key.DB, l.name)
	switch {
	case len(l.holders) == 0:
		t.held.drop(hash, now)
	case l.listed:
		t.held.put(hash, math.MaxInt64, now)
	default:
		t.held.put(hash, l.keyExpires, now)
	}
}

// bury removes from the keyspace the holders whose lease is over.
func (t *Table) bury(l *line, dead []string, live map[string]lease) {
	if len(dead) > 0 && len(live) == 0 {
		t.store.Delete()
		l.keyExpires = 0
	} else {
		for _, owner := range dead {
			t.store.Remove([]byte(owner))
		}
	}
	for _, owner := range dead {
		if _, known := l.holders[owner]; !known { // else read counts it
			t.Stats.Expired++
			t.store.Event(Expired)
		}
	}
}

// sync makes the copy true again where it may not be.
func (t *Table) sync(l *line, now int64, found Found) {
	if l.doubt || l.foreign || found.Kind >= Other || found.Holders != len(l.holders) ||
		found.Expires != l.keyExpires || l.due.Set() && now >= l.due.At() {
		t.read(l, now, found)
	}
}
