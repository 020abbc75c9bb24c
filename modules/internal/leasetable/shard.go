package leasetable

import "math/bits"

// slot is one lease of a shard. It fills a cache line: among a million leases a
// look-up waits for memory once, where a general map waits two or three times. A
// free slot has the token 0.
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

// at is the slot where a lease belongs. If that is taken, the lease is in the next
// free one. The shard was chosen by the other half of the id.
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

// find returns the slot of i, or the free slot where i would go, or nil in an empty
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

// put adds or replaces a lease and reports whether it is new.
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

// remove frees the slot of i and closes the gap. A gap would hide the leases behind
// it from a probe.
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
		// A lease whose own place is between the hole and its slot must stay.
		if home := s.at(s.slots[p].id); !between(hole, home, p) {
			s.slots[hole] = s.slots[p]
			hole = p
		}
	}
	s.slots[hole] = slot{}
	s.n--
}

// between reports whether x is in (a, b], going round at the end of the shard.
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
