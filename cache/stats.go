package cache

import (
	"errors"
	"sync/atomic"
)

// Stats counts since New what became of the calls of Fetch, and of the keys of
// FetchMany, and what the cache did for them. Each call is counted once, in one of
// NearHits, Hits, Stale, Misses, Coalesced and Failed.
type Stats struct {
	NearHits  uint64 // answered from the process's memory
	Hits      uint64 // answered by Redis, also that there is no value
	Stale     uint64 // answered with an old value
	Misses    uint64 // answered by a load of this process, or of another one
	Coalesced uint64 // answered together with another call of this process
	Failed    uint64 // returned an error other than ErrNotFound

	Loads       uint64 // runs of a loader in this process; a batch is one
	LoadErrors  uint64 // those that failed; ErrNotFound is no failure
	RedisErrors uint64 // requests that Redis refused or did not answer in time
}

// Stats returns the counts so far.
func (c *Cache[T]) Stats() Stats {
	s := &c.stats
	return Stats{
		NearHits: s.calls[isNear].Load(), Hits: s.calls[isHit].Load(), Stale: s.calls[isStale].Load(),
		Misses: s.calls[isMiss].Load(), Coalesced: s.calls[isCoalesced].Load(), Failed: s.calls[isError].Load(),
		Loads: s.loads.Load(), LoadErrors: s.loadErrors.Load(), RedisErrors: s.redisErrors.Load(),
	}
}

// outcome is what became of a call.
type outcome uint8

const (
	isHit outcome = iota
	isNear
	isStale
	isMiss
	isCoalesced
	isError
	outcomes
)

// outcomeOf is the outcome of a call that a load answered.
func outcomeOf(err error) outcome {
	if err != nil && !errors.Is(err, ErrNotFound) {
		return isError
	}
	return isMiss
}

type stats struct {
	calls                          [outcomes]atomic.Uint64
	loads, loadErrors, redisErrors atomic.Uint64
}

func (s *stats) count(o outcome) { s.calls[o].Add(1) }
