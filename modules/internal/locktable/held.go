package locktable

// heldSet counts the locks that are held. It is a gauge and decides nothing,
// so it keeps 16 bytes a lock and no pointer the collector would have to
// follow: a hash of the name, and when the last lease ends. Leases that ran
// out with nobody waiting are noticed by a passing hand, or when somebody asks
// for the count.
//
// Among a million locks each look at the table is a cache miss, which alone
// would cost an acquire a tenth of its time. So changes go to a log first, and
// then to the table in one go, where the misses overlap. And the table is cut
// into shards because one that doubles moves everything in it: a whole one
// would hold the server up for tens of milliseconds.
type heldSet struct {
	log     []heldChange
	ranOut  int64            // leases found run out, and not told yet
	ofLock  map[uint64]int64 // how many of them each lock had, see ranOutOf
	turn    int              // the shard whose turn it is to be swept
	touched uint64           // keeps the loads of settle from being optimised away
	shards  [heldShards]heldShard
}

const (
	heldShards = 64
	heldLog    = 256
)

type heldShard struct {
	slots []heldSlot // a power of two of them, with linear probing
	n     int
	hand  int
}

type heldSlot struct {
	hash    uint64 // 0 is an empty slot
	expires int64
}

// heldChange is a slot as it shall be from a time on; expires 0: dropped.
type heldChange struct {
	heldSlot
	at int64
}

func newHeldSet() *heldSet {
	s := &heldSet{ofLock: map[uint64]int64{}, log: make([]heldChange, 0, heldLog)}
	for i := range s.shards {
		s.shards[i].slots = make([]heldSlot, 16)
	}
	return s
}

// The top bits choose the shard, the low ones the slot in it.
func (s *heldSet) shard(hash uint64) *heldShard { return &s.shards[hash>>58] }

// put notes that a lock is held until expires, or not at all for 0.
func (s *heldSet) put(hash uint64, expires, now int64) {
	if len(s.log) == heldLog {
		s.settle(now)
	}
	s.log = append(s.log, heldChange{heldSlot{hash, expires}, now})
}

// settle brings the log into the table.
func (s *heldSet) settle(now int64) {
	// Nothing here depends on what is loaded, so the loads go on at the same
	// time; below, all is in the cache.
	touched := uint64(0)
	for _, change := range s.log {
		t := s.shard(change.hash)
		touched ^= t.slots[int(change.hash)&(len(t.slots)-1)].hash
	}
	s.touched = touched
	for _, change := range s.log {
		s.apply(change)
	}
	s.log = s.log[:0]
	t := &s.shards[s.turn]
	s.turn = (s.turn + 1) % heldShards
	s.sweep(t, 2*heldLog, now)
}

func (s *heldSet) apply(change heldChange) {
	change.hash = max(change.hash, 1)
	t := s.shard(change.hash)
	i := t.find(change.hash)
	there := t.slots[i].hash != 0
	if there && t.slots[i].expires <= change.at && change.expires != 0 {
		s.ranOut++ // and was taken again since
		s.ranOutOf(change.hash)
	}
	switch {
	case change.expires != 0 && there:
		t.slots[i] = change.heldSlot
	case change.expires != 0:
		if t.n >= len(t.slots)/2 {
			t.grow()
			i = t.find(change.hash)
		}
		t.slots[i] = change.heldSlot
		t.n++
	case there:
		t.clear(i)
	}
}

// count is the number of locks held at now, and of leases that it found run
// out since it was last asked. It looks at every slot: a few milliseconds for
// a million locks.
func (s *heldSet) count(now int64) (held, ranOut int64) {
	s.settle(now)
	for i := range s.shards {
		t := &s.shards[i]
		s.sweep(t, len(t.slots), now)
		held += int64(t.n)
	}
	ranOut, s.ranOut = s.ranOut, 0
	return held, ranOut
}

// sweep clears leases that ran out from the next slots on.
func (s *heldSet) sweep(t *heldShard, slots int, now int64) {
	for range min(slots, len(t.slots)) {
		t.hand = (t.hand + 1) & (len(t.slots) - 1)
		for at := t.slots[t.hand]; at.hash != 0 && at.expires <= now; at = t.slots[t.hand] {
			t.clear(t.hand) // which may move another here: look again
			s.ranOut++
			s.ranOutOf(at.hash)
		}
	}
}

// mostRanOut bounds of how many locks it is remembered that leases ran out.
const mostRanOut = 4096

// ranOutOf counts a lease that ran out for its lock.
func (s *heldSet) ranOutOf(hash uint64) {
	if len(s.ofLock) >= mostRanOut {
		clear(s.ofLock)
	}
	s.ofLock[hash]++
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
