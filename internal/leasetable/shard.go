package leasetable

import "math/bits"

// slot is one lease of a shard: a cache line, so that a million leases cost a
// look-up one wait for memory where a general map costs two or three. A free
// slot has no token.
type slot struct {
	id id
	lease
}

// shard is a hash table with linear probing. Its slots hold no pointers, and it
// grows by a quarter when it is three quarters full, so that little of it is empty.
type shard struct {
	slots []slot
	n     int
}

const smallShard = 8

// at is where a lease belongs; when that is taken, in the next free slot. The
// shard was chosen by the other half of the id.
func (s *shard) at(i id) int {
	hi, _ := bits.Mul64(i[0], uint64(len(s.slots)))
	return int(hi)
}

func (s *shard) next(p int) int {
	if p++; p < len(s.slots) {
		return p
	}
	return 0
}

// find is the slot of i, or the free one where it would go; nil in an empty
// shard.
func (s *shard) find(i id) *slot {
	if len(s.slots) == 0 {
		return nil
	}
	p := s.at(i)
	for s.slots[p].token != 0 && s.slots[p].id != i {
		p = s.next(p)
	}
	return &s.slots[p]
}

// put adds or replaces a lease and tells whether it is new.
func (s *shard) put(i id, l lease) bool {
	at := s.find(i)
	if at != nil && at.token != 0 {
		at.lease = l
		return false
	}
	if s.n*4 >= len(s.slots)*3 {
		s.resize(max(smallShard, len(s.slots)+len(s.slots)/4))
		at = s.find(i)
	}
	*at = slot{i, l}
	s.n++
	return true
}

// remove frees the slot of i and closes the gap, so that no probe stops short
// of what lies behind it.
func (s *shard) remove(i id) {
	at := s.find(i)
	if at == nil || at.token == 0 {
		return
	}
	hole := s.at(i)
	for s.slots[hole].id != i {
		hole = s.next(hole)
	}
	for p := s.next(hole); s.slots[p].token != 0; p = s.next(p) {
		// What belongs behind the hole, up to where it stands, must stay.
		if home := s.at(s.slots[p].id); !between(hole, home, p) {
			s.slots[hole] = s.slots[p]
			hole = p
		}
	}
	s.slots[hole] = slot{}
	s.n--
}

// between tells whether going round from after a, x comes no later than b.
func between(a, x, b int) bool {
	if a <= b {
		return a < x && x <= b
	}
	return a < x || x <= b
}

func (s *shard) resize(slots int) {
	old := s.slots
	s.slots = make([]slot, slots)
	for p := range old {
		if old[p].token != 0 {
			*s.find(old[p].id) = old[p]
		}
	}
}
