package taskqueue

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// listed is a stream that TASK.LIST names: one with a group, found by the search or used
// since the server started.
type listed struct {
	dispatch.Key
	streamCounters
	flow []sample // oldest first
}

// streamCounters count what became of a stream's tasks.
type streamCounters struct{ retried, dead, expired, cancelled int64 }

// catalog holds the known streams in places by a hash of their names, so that a cursor is
// the number of a place: a stream that is known all the time is listed once.
type catalog struct {
	seed   maphash.Seed
	places map[int][]*listed
	used   []uint64 // a bit for each place that may hold something
	n      int
	hand   int // the place that sweep looks at next
	owed   int // how many it is to look at
}

const (
	catalogPlaces = 1 << 16
	catalogMost   = 1 << 20 // streams; more are not listed
)

func newCatalog() catalog {
	return catalog{seed: maphash.MakeSeed(), places: map[int][]*listed{}, used: make([]uint64, catalogPlaces/64)}
}

func (x *catalog) place(k dispatch.Key) int {
	return int((maphash.String(x.seed, k.Stream) + uint64(k.DB)) % catalogPlaces)
}

// next returns the first place from i on that may hold something, catalogPlaces for none.
func (x *catalog) next(i int) int {
	for ; i < catalogPlaces; i += 64 - i%64 {
		if rest := x.used[i/64] >> (i % 64); rest != 0 {
			return i + bits.TrailingZeros64(rest)
		}
	}
	return catalogPlaces
}

// find returns a known stream, nil for others.
func (x *catalog) find(k dispatch.Key) *listed {
	for _, n := range x.places[x.place(k)] {
		if n.Key == k {
			return n
		}
	}
	return nil
}

// add makes a stream known, unless the catalog is full. Each new stream has two places
// swept, so streams whose names are used once do not pile up.
func (x *catalog) add(k dispatch.Key) {
	if x.find(k) != nil {
		return
	}
	x.owed = min(x.owed+2, len(x.places))
	if x.n == catalogMost {
		return
	}
	i := x.place(k)
	x.places[i] = append(x.places[i], &listed{Key: dispatch.Key{DB: k.DB, Stream: strings.Clone(k.Stream)}})
	x.used[i/64] |= 1 << (i % 64)
	x.n++
}

func (x *catalog) remove(k dispatch.Key) {
	i := x.place(k)
	if at := slices.IndexFunc(x.places[i], func(n *listed) bool { return n.Key == k }); at >= 0 {
		x.places[i] = slices.Delete(x.places[i], at, at+1)
		x.n--
		x.emptied(i)
	}
}

// unlist forgets a stream that is not there any more.
func (s *state) unlist(ctx *redismodule.Ctx, k dispatch.Key) {
	s.catalog.remove(k)
	ctx.Shared()[unlisted]++
}

func (x *catalog) emptied(i int) {
	if len(x.places[i]) == 0 {
		delete(x.places, i)
		x.used[i/64] &^= 1 << (i % 64)
	}
}

// clear forgets the streams of a database.
func (x *catalog) clear(db int) {
	for i := x.next(0); i < catalogPlaces; i = x.next(i + 1) {
		before := len(x.places[i])
		x.places[i] = slices.DeleteFunc(x.places[i], func(n *listed) bool { return db < 0 || n.DB == db })
		x.n -= before - len(x.places[i])
		x.emptied(i)
	}
}

// sweep forgets the streams that are not there any more, in the places that are owed. It is
// for the timer: while a client's command runs in a cluster, newer servers look for every key
// in the slot of that command's keys.
func (x *catalog) sweep(ctx *redismodule.Ctx, began int64) {
	for ; x.owed > 0 && ctx.Monotonic()-began < slice; x.owed-- {
		if x.hand = x.next(x.hand); x.hand == catalogPlaces {
			x.hand = x.next(0)
		}
		if x.hand == catalogPlaces {
			x.hand, x.owed = 0, 0
			return
		}
		before := len(x.places[x.hand])
		x.places[x.hand] = slices.DeleteFunc(x.places[x.hand], func(n *listed) bool {
			ctx.SelectDB(n.DB)
			return !isStreamAt(ctx, n.Stream)
		})
		x.n -= before - len(x.places[x.hand])
		if len(x.places[x.hand]) < before {
			ctx.Shared()[unlisted]++
		}
		x.emptied(x.hand)
		x.hand++
	}
}

// unlisted is the word of Ctx.Shared that counts when streams were forgotten: the fast
// TASK.PUBLISH has its Handler note a stream again.
const unlisted = 0

// counted is where to count what became of a stream's tasks. What becomes of the delayed
// tasks of a stream that is not there is not kept.
func (s *state) counted(db int, stream string) *streamCounters {
	if k := s.catalog.find(dispatch.Key{DB: db, Stream: stream}); k != nil {
		return &k.streamCounters
	}
	return new(streamCounters)
}

// A sample says how many entries had ever been added to a stream, and how many it held.
// They are taken when somebody asks for the flow, at most one every flowStep.
type sample struct{ at, added, length int64 }

const (
	flowStep = 5_000  // ms
	flowTime = 60_000 // ms
)

// perMinute returns how many entries came to the stream and left it in a minute, by the
// oldest sample of the last one, and takes a sample. ok is false where there is none yet.
func (k *listed) perMinute(now, added, length int64) (in, out int64, ok bool) {
	for len(k.flow) > 1 && k.flow[1].at <= now-flowTime {
		k.flow = k.flow[1:]
	}
	if len(k.flow) > 0 && (k.flow[0].at > now || k.flow[0].added > added || k.flow[0].at < now-2*flowTime) {
		k.flow = nil // the clock was set back, it is another stream, or nobody asked for long
	}
	if len(k.flow) > 0 && now > k.flow[0].at {
		past := now - k.flow[0].at
		came := added - k.flow[0].added
		left := max(came-(length-k.flow[0].length), 0)
		in, out, ok = came*flowTime/past, left*flowTime/past, true
	}
	if n := len(k.flow); n == 0 || now-k.flow[n-1].at >= flowStep {
		k.flow = append(slices.Clip(k.flow), sample{now, added, length})
	}
	return in, out, ok
}

// isGroupedStream reports whether a key is a stream with a group.
func isGroupedStream(ctx *redismodule.Ctx, name []byte) bool {
	if !isStreamAt(ctx, text(name)) {
		return false
	}
	r := ctx.Cmd("XINFO").Str("GROUPS").Bytes(name).Call("")
	defer r.Free()
	p := read(r.Raw())
	return failure(r) == nil && p.Array() > 0
}
