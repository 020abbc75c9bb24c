package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// NearOptions configure the near cache: values in the process's own memory, so that
// most calls of Fetch ask nobody. Size or MaxBytes switches it on.
//
// For each server one connection reports what has changed there (CLIENT TRACKING in
// broadcasting mode), and reads the values that become near, so that no value is taken
// for newer than it is. While the connection is down, or silent for three seconds, no
// value is taken from memory. So:
//
//   - A Fetch that begins after an Invalidate or Set of this process returned gets
//     nothing older.
//   - A value that was changed or deleted elsewhere, by whatever command, is answered
//     until the server has reported the change: usually well below a millisecond. If
//     the network swallows the report, three seconds.
//   - In a failover that loses writes, or leaves the old primary up for a while, a
//     value may be as old as MaxAge.
//
// It costs the server a message to each process for every change of a key with the
// prefix: set Prefix, here or in Options, where other keys change often. A user with
// an ACL needs +client|tracking, +ping and +pttl.
type NearOptions struct {
	// MaxAge is how long a value is kept in memory at most, however long it lives.
	// Defaults to 10 seconds.
	MaxAge time.Duration

	// MaxBytes bounds the values in memory by their size as stored in Redis, their keys
	// and 128 bytes for each. Decoded values may take more or less than that. Defaults
	// to 0: no such bound.
	MaxBytes int64

	// Prefix restricts the near cache to keys that begin with it (behind
	// Options.Prefix). Defaults to "": all keys.
	Prefix string

	// Size bounds the number of values in memory. Those not asked for lately make room.
	// Defaults to 0: no such bound.
	Size int
}

func (o *NearOptions) on() bool { return o.Size > 0 || o.MaxBytes > 0 }

// entryBytes is what an entry is counted for beyond its key and value.
const entryBytes = 128

// near holds the values in memory, by the caller's keys. It evicts by the clock
// algorithm: a hand passes over the entries and evicts the first one that was not used
// since the hand passed last.
type near[T any] struct {
	o     NearOptions
	seed  maphash.Seed
	epoch time.Time // times are durations since then

	mu       sync.RWMutex
	closed   bool
	entries  map[string]*entry[T]
	ring     []*entry[T] // the place of each entry; nil where a place is free
	free     []int       // the free places
	hand     int
	bytes    int64
	versions [64]uint64 // by hash of the key; each grows when a key of it is dropped
}

// entry is a value, or that there is none. Only used changes after put.
type entry[T any] struct {
	key   string
	value T
	err   error
	until time.Duration
	from  *tracker[T]
	bytes int64
	place int
	used  atomic.Bool // since the hand passed
}

func newNear[T any](o NearOptions) *near[T] {
	return &near[T]{o: o, seed: maphash.MakeSeed(), epoch: time.Now(), entries: map[string]*entry[T]{}}
}

func (n *near[T]) now() time.Duration { return time.Since(n.epoch) }

// get returns a value if the server would have reported by now that it has changed.
func (n *near[T]) get(key string) (value T, err error, ok bool) {
	n.mu.RLock()
	e := n.entries[key]
	n.mu.RUnlock()
	if e == nil {
		return value, nil, false
	}
	if now := n.now(); now >= e.until || !e.from.isFresh(now) {
		return value, nil, false
	}
	if !e.used.Load() { // do not write what all processors would have to see
		e.used.Store(true)
	}
	return e.value, e.err, true
}

func (n *near[T]) versionOf(key string) *uint64 {
	return &n.versions[maphash.String(n.seed, key)%uint64(len(n.versions))]
}

// version is read before a value is asked for. put keeps the value only if the version
// is still the same.
func (n *near[T]) version(key string) uint64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return *n.versionOf(key)
}

// put keeps a value, unless it may have changed since the version was read.
func (n *near[T]) put(e *entry[T], version uint64) {
	e.bytes += int64(len(e.key)) + entryBytes
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || *n.versionOf(e.key) != version || n.o.MaxBytes > 0 && e.bytes > n.o.MaxBytes {
		return
	}
	n.remove(e.key)
	for n.o.Size > 0 && len(n.entries) >= n.o.Size || n.o.MaxBytes > 0 && n.bytes+e.bytes > n.o.MaxBytes {
		n.evict()
	}
	if last := len(n.free) - 1; last >= 0 {
		e.place, n.free = n.free[last], n.free[:last]
		n.ring[e.place] = e
	} else {
		e.place = len(n.ring)
		n.ring = append(n.ring, e)
	}
	n.entries[e.key] = e
	n.bytes += e.bytes
}

// evict removes one entry. There is one; the caller has n.mu.
func (n *near[T]) evict() {
	for {
		n.hand = (n.hand + 1) % len(n.ring)
		if e := n.ring[n.hand]; e != nil && !e.used.Swap(false) {
			n.remove(e.key)
			return
		}
	}
}

// remove removes an entry, if it is there. The caller has n.mu.
func (n *near[T]) remove(key string) {
	if e := n.entries[key]; e != nil {
		delete(n.entries, key)
		n.ring[e.place] = nil
		n.free = append(n.free, e.place)
		n.bytes -= e.bytes
	}
}

// drop removes a value that may have changed, and rejects one that is being read.
func (n *near[T]) drop(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*n.versionOf(key)++
	n.remove(key)
}

// clear removes all values, and rejects those that are being read.
func (n *near[T]) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.versions {
		n.versions[i]++
	}
	clear(n.entries)
	n.ring, n.free, n.hand, n.bytes = nil, nil, 0, 0
}

// close removes all values for good.
func (n *near[T]) close() {
	n.clear()
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
}
