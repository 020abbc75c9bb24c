package keyed

import "slices"

// entries are the entries that are in, in the order of their ids, which is the order in which
// they enter. Those of a key are linked, so that a key knows its own. Places are numbers instead
// of pointers, which the collector would follow.
type entries struct {
	at   []entry
	live int
	next int // behind the entry that left last: they mostly leave in their order

	keys []*key // of which some are in; nil for a free place
	free []int32
}

type entry struct {
	id         ID
	key        int32 // its place in keys, and 1; 0: it has left
	prev, next int32 // of the key, in no order
}

// linked are the entries of one key: so many, from the first to the last.
type linked struct {
	n                  int64
	first, last, place int32
}

// find is where an entry is.
func (s *entries) find(id ID) (i int, ok bool) {
	if i = s.next; i >= len(s.at) || s.at[i].id != id {
		i, ok = s.search(id)
		return i, ok && s.at[i].key != 0
	}
	return i, s.at[i].key != 0
}

// search is where an id is, or would be.
func (s *entries) search(id ID) (i int, ok bool) {
	n := len(s.at)
	if n == 0 {
		return 0, false
	}
	switch order := s.at[n-1].id.Compare(id); {
	case order < 0:
		return n, false
	case order == 0:
		return n - 1, true
	}
	return slices.BinarySearchFunc(s.at, id, func(e entry, id ID) int { return e.id.Compare(id) })
}

// add adds an entry that is not in.
func (s *entries) add(k *key, id ID) {
	if s.live++; k.in.n == 0 {
		s.give(k)
	}
	e := entry{id: id, key: k.in.place + 1}
	i, had := s.search(id)
	switch {
	case had: // and has left since
		s.at[i] = e
		s.link(i)
	case i == len(s.at):
		s.at = append(s.at, e)
		s.link(i)
	default:
		s.at = slices.Insert(s.at, i, e)
		s.relink()
	}
}

// give gives a key a place.
func (s *entries) give(k *key) {
	if n := len(s.free) - 1; n >= 0 {
		k.in.place, s.free = s.free[n], s.free[:n]
		s.keys[k.in.place] = k
		return
	}
	k.in.place = int32(len(s.keys))
	s.keys = append(s.keys, k)
}

// remove removes the entry at i and returns its key.
func (s *entries) remove(i int) *key {
	e := &s.at[i]
	k := s.keys[e.key-1]
	switch int32(i) {
	case k.in.first:
		k.in.first = e.next
	case k.in.last:
		k.in.last = e.prev
	default:
		s.at[e.prev].next, s.at[e.next].prev = e.next, e.prev
	}
	if k.in.n--; k.in.n == 0 {
		s.keys[k.in.place] = nil
		s.free = append(s.free, k.in.place)
	}
	e.key = 0
	s.live--
	s.next = i + 1
	if gone := len(s.at) - s.live; gone > s.live && gone > 64 {
		s.compact()
	}
	return k
}

// compact forgets the entries that have left.
func (s *entries) compact() {
	left := make([]entry, 0, s.live+s.live/2)
	for _, e := range s.at {
		if e.key != 0 {
			left = append(left, e)
		}
	}
	if s.at, s.next = left, 0; s.live == 0 {
		s.keys, s.free = nil, nil
	}
	s.relink()
}

// link puts the entry at i behind those of its key.
func (s *entries) link(i int) {
	e, at := &s.at[i], int32(i)
	in := &s.keys[e.key-1].in
	if in.n == 0 {
		in.first = at
	} else {
		s.at[in.last].next, e.prev = at, in.last
	}
	in.last = at
	in.n++
}

// relink links all entries anew after their places changed.
func (s *entries) relink() {
	for _, k := range s.keys {
		if k != nil {
			k.in.n = 0
		}
	}
	for i := range s.at {
		if s.at[i].key != 0 {
			s.link(i)
		}
	}
}

// of appends the ids of a key's entries.
func (s *entries) of(k *key, ids []ID) []ID {
	for i, n := k.in.first, k.in.n; n > 0; n-- {
		ids = append(ids, s.at[i].id)
		i = s.at[i].next
	}
	return ids
}
