package locktable

import "hash/maphash"

// heldSet counts the locks that are held. It is a gauge and decides nothing,
// so it keeps 16 bytes a lock and no pointer the collector would have to
// follow: a hash of the name, and when the last lease ends. Leases that ran
// out with nobody waiting are noticed by the passing hand of put, or when
// somebody asks for the count.
//
// It is cut into shards because a table that doubles moves everything in it:
// one of a million locks would hold the server up for tens of milliseconds.
type heldSet struct {
	seed   maphash.Seed
	shards [heldShards]heldShard
}

const heldShards = 64

type heldShard struct {
	slots []heldSlot // a power of two of them, with linear probing
	n     int
	hand  int
}

type heldSlot struct {
	hash    uint64 // 0 is an empty slot
	expires int64
}

func newHeldSet() *heldSet {
	s := &heldSet{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].slots = make([]heldSlot, 16)
	}
	return s
}

func (s *heldSet) hash(db int, name []byte) uint64 {
	return max(maphash.Bytes(s.seed, name)^uint64(db)*0x9e3779b97f4a7c15, 1)
}

// The top bits choose the shard, the low ones the slot in it.
func (s *heldSet) shard(hash uint64) *heldShard { return &s.shards[hash>>58] }

// put notes that a lock is held until expires. It tells whether the lock's
// last lease had run out unnoticed, and how many of other locks it came upon:
// it looks at two more slots, so that no call is long.
func (s *heldSet) put(hash uint64, expires, now int64) (ownRanOut bool, others int64) {
	t := s.shard(hash)
	if t.n >= len(t.slots)/2 {
		t.grow()
	}
	slot := &t.slots[t.find(hash)]
	switch {
	case slot.hash == 0:
		t.n++
	case slot.expires <= now:
		ownRanOut = true
	}
	*slot = heldSlot{hash, expires}
	for range 2 {
		t.hand = (t.hand + 1) & (len(t.slots) - 1)
		if at := t.slots[t.hand]; at.hash != 0 && at.expires <= now {
			t.clear(t.hand)
			others++
		}
	}
	return ownRanOut, others
}

// drop forgets a lock that nobody holds any more.
func (s *heldSet) drop(hash uint64) {
	t := s.shard(hash)
	if i := t.find(hash); t.slots[i].hash != 0 {
		t.clear(i)
	}
}

// count is the number of locks held at now, and of leases it found run out.
// It looks at every slot: a few milliseconds for a million locks.
func (s *heldSet) count(now int64) (held, ranOut int64) {
	for i := range s.shards {
		t := &s.shards[i]
		for j := 0; j < len(t.slots); {
			if at := t.slots[j]; at.hash != 0 && at.expires <= now {
				t.clear(j) // which may move another here: look again
				ranOut++
				continue
			}
			j++
		}
		held += int64(t.n)
	}
	return held, ranOut
}

// find is the slot of hash, or the empty one where it belongs.
func (t *heldShard) find(hash uint64) int {
	mask := len(t.slots) - 1
	i := int(hash) & mask
	for t.slots[i].hash != 0 && t.slots[i].hash != hash {
		i = (i + 1) & mask
	}
	return i
}

// clear empties slot i and moves up whoever had been pushed past it, so that
// there are no tombstones.
func (t *heldShard) clear(i int) {
	mask := len(t.slots) - 1
	for j := (i + 1) & mask; t.slots[j].hash != 0; j = (j + 1) & mask {
		home := int(t.slots[j].hash) & mask
		if (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = heldSlot{}
	t.n--
}

func (t *heldShard) grow() {
	old := t.slots
	t.slots = make([]heldSlot, 2*len(old))
	for _, at := range old {
		if at.hash != 0 {
			t.slots[t.find(at.hash)] = at
		}
	}
}
