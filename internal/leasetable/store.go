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
	// shards keeps a sweep, and the growth of a map, to a thousandth of the
	// table: 20 µs at a million leases.
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

type shard struct {
	leases map[id]lease
	peak   int // a Go map never shrinks; one far below its peak is made anew
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
	l, ok := s.shard(i).leases[i]
	return l, ok
}

// flush ends every lease of a database at the same cost for one and for a
// million: tokens only grow, so it is enough to remember the last one.
func (s *store) flush(db int32, last uint64) { s.void[db] = last }

func (s *store) flushed(l lease) bool { return len(s.void) > 0 && l.token <= s.void[l.db] }

// put files a new lease or replaces what was there; the caller has seen to the
// watch of both.
func (s *store) put(i id, l lease) {
	sh := s.shard(i)
	before := len(sh.leases)
	if sh.leases == nil {
		sh.leases = make(map[id]lease)
	}
	sh.leases[i] = l
	s.n += len(sh.leases) - before
	sh.peak = max(sh.peak, len(sh.leases))
}

func (s *store) remove(i id, l lease) {
	delete(s.shard(i).leases, i)
	s.n--
	s.unwatch(l.watch)
}

// sweep removes dead leases, as many looked at as the grants since the last
// sweep have paid for.
func (s *store) sweep(now int64) {
	s.debt += sweepPerGrant
	for s.debt > len(s.shards[s.hand].leases) {
		s.debt -= len(s.shards[s.hand].leases) + 1
		s.sweepShard(&s.shards[s.hand], now)
		s.hand = (s.hand + 1) % shards
	}
}

func (s *store) sweepShard(sh *shard, now int64) {
	for i, l := range sh.leases {
		if s.over(l, now) {
			s.remove(i, l)
		}
	}
	if sh.peak > 64 && len(sh.leases) < sh.peak/8 {
		fresh := make(map[id]lease, len(sh.leases))
		for i, l := range sh.leases {
			fresh[i] = l
		}
		sh.leases, sh.peak = fresh, len(fresh)
	}
}

// over tells whether a lease is good for nothing any more.
func (s *store) over(l lease, now int64) bool { return now >= l.end || s.flushed(l) }

// live counts the leases that are not over.
func (s *store) live(now int64) (n int) {
	for i := range s.shards {
		for _, l := range s.shards[i].leases {
			if !s.over(l, now) {
				n++
			}
		}
	}
	return n
}

// clear removes every lease and gives their memory back.
func (s *store) clear() {
	for i := range s.shards {
		for _, l := range s.shards[i].leases {
			s.unwatch(l.watch)
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
