package leasetable

import (
	"hash/maphash"
	"math"
)

// lease is what one caller was granted. It outlives its deadline up to end:
// a late loader may still store its value while nobody took its place.
type lease struct {
	token    uint64
	granted  int64 // unix ms
	deadline int64 // the holder is alone until then
	end      int64 // then the whole load is over; never before deadline
	watch    uint64
	db       int32
}

// id stands for a key. A million leases must not cost a million names, each
// with a pointer that every garbage collection follows, so a key is known by
// 128 bits of two hashes with secret seeds: two of a million live keys agree
// with a chance of 1 in 2^89. Values never pass through here, so even that
// could only make one loader wait for another key's.
type id [2]uint64

const (
	// shards keeps a sweep, and the growth of a shard, to a thousandth of the
	// table: about 10 µs at a million leases.
	shards = 1024
	// sweepPerGrant is how many leases a new one pays to have looked at. In the
	// long run at most a quarter as many dead leases lie about as live ones.
	sweepPerGrant = 4
)

// store holds the leases, without a pointer in any of them. The dead ones are
// found by a hand that goes round as leases are added: no timer runs for a
// lease nobody waits for.
type store struct {
	seeds   [2]maphash.Seed
	shards  [shards]shard
	n       int
	hand    int
	debt    int
	void    map[int32]uint64 // by database: tokens up to this one were ended by a flush
	unwatch func(watch uint64)
}

func (s *store) id(k Key) id {
	// Names are hashed, databases are added: the same name never collides
	// with itself in another database.
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

// flush ends every lease of a database at the same cost for one and for a
// million: tokens only grow, so it is enough to remember the last one.
func (s *store) flush(db int32, last uint64) { s.void[db] = last }

func (s *store) flushed(l lease) bool { return len(s.void) > 0 && l.token <= s.void[l.db] }

// put files a new lease or replaces what was there; the caller has seen to the
// watch of both.
func (s *store) put(i id, l lease) {
	if s.shard(i).put(i, l) {
		s.n++
	}
}

func (s *store) remove(i id, l lease) {
	s.shard(i).remove(i)
	s.n--
	s.unwatch(l.watch)
}

// sweep removes dead leases, as many looked at as the grants since the last
// sweep have paid for.
func (s *store) sweep(now int64) {
	s.debt += sweepPerGrant
	for s.debt > s.shards[s.hand].n {
		s.debt -= s.shards[s.hand].n + 1
		s.sweepShard(&s.shards[s.hand], now)
		s.hand = (s.hand + 1) % shards
	}
}

func (s *store) sweepShard(sh *shard, now int64) {
	for p := 0; p < len(sh.slots); {
		// What is removed may draw another lease into its slot.
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

// over tells whether a lease is good for nothing any more.
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

// clear removes every lease and gives their memory back.
func (s *store) clear() {
	for i := range s.shards {
		for _, at := range s.shards[i].slots {
			if at.token != 0 {
				s.unwatch(at.watch)
			}
		}
		s.shards[i] = shard{}
	}
	clear(s.void)
	s.n, s.debt = 0, 0
}

// after adds a duration to a time. Both were checked when the command came; a
// waiter's durations are added again at its promotion, later than that.
func after(now, d int64) int64 {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}
