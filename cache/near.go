package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// NearOptions are how values are kept in the process's own memory, so that most
// calls of Fetch ask nobody. The zero value keeps none there.
//
// For each server one connection tells what has changed (CLIENT TRACKING in its
// broadcasting mode), and reads what is not near, so that no reply can be taken for
// newer than it is. While it is not up, or not answered for three seconds, nothing
// is taken from near. So:
//
//   - A Fetch that begins after an Invalidate of this process returned gets nothing
//     older.
//   - A value that was changed or deleted elsewhere, by whatever command, is
//     answered for as long as it takes the server to say so: usually well below a
//     millisecond. If the network swallows what it says, three seconds.
//   - In a failover that loses writes, or leaves the old primary up for a while,
//     MaxAge bounds how old a value can be, as far as it is not the server's own.
//
// It costs the server a message for every change of a key with Prefix to each
// process: set a Prefix where other things change often. A user with an ACL needs
// +client|tracking, +ping and +pttl.
type NearOptions struct {
	// MaxAge is how long a value is near at most, however long it lives.
	// Defaults to 10 seconds.
	MaxAge time.Duration

	// Prefix is how the keys begin that may be near. Defaults to "": all.
	Prefix string

	// Size is how many values are near at most. Those not asked for lately make
	// room. Defaults to 0: none.
	Size int
}

// near is what is kept of values here: at most so many, found without asking.
type near[T any] struct {
	size  int
	seed  maphash.Seed
	epoch time.Time // what ages are counted from

	mu      sync.RWMutex
	closed  bool
	entries map[string]*entry[T]
	ring    []*entry[T] // every entry has its place, a nil is a free one
	free    []int       // places that are nil
	hand    int
	marks   [64]uint64 // grow when a key of theirs is dropped
}

// entry is a value, or that there is none. It never changes, but for recent.
type entry[T any] struct {
	key    string
	value  T
	err    error
	until  time.Duration // since the epoch
	from   *tracker[T]
	place  int
	recent atomic.Bool // asked for since the hand passed
}

func newNear[T any](size int) *near[T] {
	return &near[T]{size: size, seed: maphash.MakeSeed(), epoch: time.Now(), entries: map[string]*entry[T]{}}
}

func (n *near[T]) now() time.Duration { return time.Since(n.epoch) }

// get answers from near, if the server could have said by now that it is outdated.
func (n *near[T]) get(key string) (value T, err error, ok bool) {
	n.mu.RLock()
	e := n.entries[key]
	n.mu.RUnlock()
	if e == nil {
		return value, nil, false
	}
	if now := n.now(); now >= e.until || !e.from.fresh(now) {
		return value, nil, false
	}
	if !e.recent.Load() { // a write that all processors would see
		e.recent.Store(true)
	}
	return e.value, e.err, true
}

func (n *near[T]) stripe(key string) *uint64 {
	return &n.marks[maphash.String(n.seed, key)%uint64(len(n.marks))]
}

// mark is taken before a value is asked for: it is kept if the mark still stands.
func (n *near[T]) mark(key string) uint64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return *n.stripe(key)
}

// put keeps a value, unless it may have changed since the mark was taken.
func (n *near[T]) put(e *entry[T], mark uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || *n.stripe(e.key) != mark {
		return
	}
	n.remove(e.key)
	e.place = n.room()
	n.ring[e.place] = e
	n.entries[e.key] = e
}

// room is a place for an entry: a free one, or that of one not asked for since the
// hand was there last. The caller has n.mu.
func (n *near[T]) room() int {
	if last := len(n.free) - 1; last >= 0 {
		place := n.free[last]
		n.free = n.free[:last]
		return place
	}
	if len(n.ring) < n.size {
		n.ring = append(n.ring, nil)
		return len(n.ring) - 1
	}
	for {
		n.hand = (n.hand + 1) % n.size
		if e := n.ring[n.hand]; !e.recent.Swap(false) {
			delete(n.entries, e.key)
			return n.hand
		}
	}
}

// remove takes an entry out. The caller has n.mu.
func (n *near[T]) remove(key string) {
	if e := n.entries[key]; e != nil {
		delete(n.entries, key)
		n.ring[e.place] = nil
		n.free = append(n.free, e.place)
	}
}

// drop forgets a value that may have changed, also one that is on its way.
func (n *near[T]) drop(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*n.stripe(key)++
	n.remove(key)
}

// clear forgets all values, and those that are on their way.
func (n *near[T]) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.marks {
		n.marks[i]++
	}
	clear(n.entries)
	n.ring, n.free, n.hand = nil, nil, 0
}

// close forgets all for good.
func (n *near[T]) close() {
	n.clear()
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
}
