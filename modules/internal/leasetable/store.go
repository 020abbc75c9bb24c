package leasetable

import "hash/maphash"

// lease is what one caller was granted. It lives on after its deadline, up to end:
// a late loader may still store its value while nobody was granted a new lease.
type lease struct {
	token    uint64
	granted  int64 // unix ms
	deadline int64 // the holder loads alone until then
	end      int64 // then the whole load is over; never before deadline
	watch    uint64
	db       int32
}

// id stands for a key. A million leases must not cost a million names, each with a
// pointer that every garbage collection follows, so a key is known by 128 bits of
// two hashes with secret seeds: two of a million live keys share an id with a chance
// of 1 in 2^89. Values are never looked up by id, so even a shared id could only
// make one loader wait for another key's.
type id [2]uint64

const (
	// shards keeps a sweep, and the growth of a shard, to a thousandth of the
	// table: about 10 µs at a million leases.
	shards = 1024
	// sweepPerGrant is how many leases are swept for each new one. In the long run
	// there are at most a quarter as many dead leases as living ones.
	sweepPerGrant = 4
	// evictFrom is how many leases are compared to end one of them.
	evictFrom = 16
)

// store holds the leases, without a pointer in any of them. Dead leases are found
// by a sweep that goes round the shards as leases are added: no timer runs for a
// lease nobody waits for.
type store struct {
	seeds    [2]maphash.Seed
	shards   [shards]shard
	n        int
	swept    int              // the shard to be swept next
	debt     int              // how many leases are still to be swept
	evicted  int              // where to look for a lease to evict next
	flushes  map[int32]uint64 // by database: a flush ended the tokens up to this one
	failures map[id]failure   // of the leases that are backoffs
	unwatch  func(watch uint64)
}

func newStore(w Watcher) store {
	return store{
		seeds:    [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		flushes:  make(map[int32]uint64),
		failures: make(map[id]failure),
		unwatch:  w.Unwatch,
	}
}

func (s *store) id(k Key) id {
	// The name is hashed and the database added: the same name in two databases
	// never has the same id.
	return id{
		maphash.Bytes(s.seeds[0], k.Name) + uint64(k.DB)*0x9e3779b97f4a7c15,
		maphash.Bytes(s.seeds[1], k.Name),
	}
}

func (s *store) shard(i id) *shard { return &s.shards[i[1]%shards] }

func (s *store) get(i id) (lease, bool) {
	if at := s.shard(i).find(i); at != nil && at.token != 0 {
		return at.lease, true
	}
	return lease{}, false
}

// flush ends every lease of a database at the same cost for one and for a million:
// tokens only grow, so it is enough to remember the last one.
func (s *store) flush(db int32, last uint64) { s.flushes[db] = last }

func (s *store) flushed(l lease) bool { return len(s.flushes) > 0 && l.token <= s.flushes[l.db] }

// put stores a new lease or replaces the old one; the caller has seen to the watch
// of both.
func (s *store) put(i id, l lease) {
	if s.shard(i).put(i, l) {
		s.n++
	}
}

func (s *store) remove(i id, l lease) {
	s.shard(i).remove(i)
	s.n--
	s.forgive(i)
	s.unwatch(l.watch)
}

// forgive forgets that the last load of a key failed.
func (s *store) forgive(i id) {
	if len(s.failures) > 0 {
		delete(s.failures, i)
	}
}

// sweep removes dead leases. It looks at as many leases as the grants since the
// last sweep have paid for.
func (s *store) sweep(now int64) {
	s.debt += sweepPerGrant
	for s.debt > s.shards[s.swept].n {
		s.debt -= s.shards[s.swept].n + 1
		s.sweepShard(&s.shards[s.swept], now)
		s.swept = (s.swept + 1) % shards
	}
}

func (s *store) sweepShard(sh *shard, now int64) {
	for p := 0; p < len(sh.slots); {
		// A removal may move another lease into the slot.
		if at := &sh.slots[p]; at.token != 0 && s.over(at.lease, now) {
			s.remove(at.id, at.lease)
		} else {
			p++
		}
	}
	if len(sh.slots) > smallShard && sh.n < len(sh.slots)/8 {
		sh.resize(max(smallShard, 2*sh.n))
	}
}

// evict ends one lease: of a few beside each other the one whose holder is alone for
// the shortest time from now on. It ends none of those that keep tells to keep.
func (s *store) evict(keep func(id) bool) {
	var victim slot
	seen := 0
	for range shards {
		sh := &s.shards[s.evicted%shards]
		for p := range len(sh.slots) {
			// Begin elsewhere in the shard in each round through the shards.
			at := sh.slots[(s.evicted/shards+p)%len(sh.slots)]
			if at.token == 0 || keep(at.id) {
				continue
			}
			if seen++; victim.token == 0 || at.deadline < victim.deadline {
				victim = at
			}
			if seen == evictFrom {
				break
			}
		}
		s.evicted++
		if seen == evictFrom {
			break
		}
	}
	if victim.token != 0 {
		s.remove(victim.id, victim.lease)
	}
}

// over reports whether a lease is of no use any more.
func (s *store) over(l lease, now int64) bool { return now >= l.end || s.flushed(l) }

// live counts the leases that are not over.
func (s *store) live(now int64) (n int) {
	for i := range s.shards {
		for _, at := range s.shards[i].slots {
			if at.token != 0 && !s.over(at.lease, now) {
				n++
			}
		}
	}
	return n
}

// clear removes every lease and gives the memory back.
func (s *store) clear(w Watcher) {
	w.UnwatchAll()
	s.shards = [shards]shard{}
	clear(s.flushes)
	clear(s.failures)
	s.n, s.debt = 0, 0
}
