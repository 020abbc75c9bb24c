package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// No reader is ever handed a value older than an invalidation that had ended
// when it asked: not from the cache, not by waiting, not by loading. Loaders
// are slow, run out of lease, fail and let go all the while.
//
// The source of truth is a number that only grows. A writer raises it, then
// invalidates; when that is answered, the number is what every later reader
// must see at least. A reader notes that bound, asks, and compares.
func TestNoReaderSeesAValueOlderThanAnInvalidation(t *testing.T) { cacheIsRead(t, 5*time.Second) }

// The same for as long as HOLDFAST_SOAK says, e.g. 30m.
func TestSoakNoReaderSeesAValueOlderThanAnInvalidation(t *testing.T) {
	soak, err := time.ParseDuration(os.Getenv("HOLDFAST_SOAK"))
	if err != nil {
		t.Skip("HOLDFAST_SOAK is no time")
	}
	cacheIsRead(t, soak)
}

func cacheIsRead(t *testing.T, howLong time.Duration) {
	c := cacheServer(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx, cancel := context.WithTimeout(context.Background(), howLong)
	defer cancel()
	h := &cacheHistory{t: t, ctx: ctx}
	var all sync.WaitGroup
	for i := range 3 {
		conn, rng := c.another(), rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() { h.write(conn, rng) })
	}
	for i := range 24 {
		conn, rng := c.another(), rand.New(rand.NewPCG(seed, uint64(100+i)))
		all.Go(func() { h.read(conn, rng) })
	}
	operator, rng := c.another(), rand.New(rand.NewPCG(seed, 10))
	all.Go(func() { h.flush(operator, rng) })
	all.Wait()
	c.nobodyWaits()
	for what, n := range map[string]int64{
		"values read": h.values.Load(), "loads stored": h.stored.Load(),
		"late values refused": h.refused.Load(), "invalidations": h.invalidations.Load(),
	} {
		t.Logf("%d %s", n, what)
		if n == 0 {
			t.Errorf("no %s: the history proves nothing", what)
		}
	}
}

// historyKeys are few, so that everybody meets.
const historyKeys = 3

type cacheHistory struct {
	t       *testing.T
	ctx     context.Context
	truth   [historyKeys]atomic.Int64
	atLeast [historyKeys]atomic.Int64 // what ended invalidations promise

	values, stored, refused, invalidations atomic.Int64
}

func (h *cacheHistory) write(c *cacheConn, rng *rand.Rand) {
	for h.ctx.Err() == nil {
		k := rng.IntN(historyKeys)
		v := h.truth[k].Add(1)
		c.do("CACHE.DEL %", fmt.Sprint("k", k))
		h.promise(k, v)
		cachePause(rng, 40*time.Millisecond)
	}
}

// promise notes that an invalidation has ended.
func (h *cacheHistory) promise(k int, v int64) {
	for old := h.atLeast[k].Load(); v > old && !h.atLeast[k].CompareAndSwap(old, v); old = h.atLeast[k].Load() {
	}
	h.invalidations.Add(1)
}

// flush is an operator with a heavy hand: it invalidates everything.
func (h *cacheHistory) flush(c *cacheConn, rng *rand.Rand) {
	for h.ctx.Err() == nil {
		cachePause(rng, 100*time.Millisecond)
		var v [historyKeys]int64
		for k := range v {
			v[k] = h.truth[k].Add(1)
		}
		c.do("FLUSHDB")
		for k := range v {
			h.promise(k, v[k])
		}
	}
}

func (h *cacheHistory) read(c *cacheConn, rng *rand.Rand) {
	for h.ctx.Err() == nil {
		k := rng.IntN(historyKeys)
		key := fmt.Sprint("k", k)
		atLeast := h.atLeast[k].Load()
		reply := c.do("CACHE.FETCH % % 200 BLOCK % REFRESH %", key, 1+rng.IntN(8), 1+rng.IntN(50), rng.IntN(2)*rng.IntN(100))
		status, rest, _ := strings.Cut(strings.Trim(reply, "[]"), " ")
		switch status {
		case `"HIT"`, `"STALE"`:
			h.values.Add(1)
			text, _, _ := strings.Cut(rest, " ")
			if v, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64); err != nil || v < atLeast {
				h.t.Errorf("a reader of %s heard %s after an invalidation of %d had ended", key, reply, atLeast)
				return
			}
		case `"LOAD"`:
			h.load(c, rng, k, key, c.isToLoad(reply))
		case `"WAIT"`, "-LOADFAILED":
		default:
			h.t.Errorf("a reader of %s heard %s", key, reply)
			return
		}
		cachePause(rng, 3*time.Millisecond)
	}
}

// load reads the truth and stores it a while later, if it may.
func (h *cacheHistory) load(c *cacheConn, rng *rand.Rand, k int, key, token string) {
	cachePause(rng, 3*time.Millisecond)
	v := h.truth[k].Load()
	cachePause(rng, 8*time.Millisecond)
	switch rng.IntN(20) {
	case 0:
		c.do("CACHE.FAIL % % down", key, token)
	case 1:
		c.do("CACHE.UNLOCK % %", key, token)
	case 2: // dies
	default:
		if c.do("CACHE.SET % % % TOKEN %", key, v, 1+rng.IntN(100), token) == "OK" {
			h.stored.Add(1)
		} else {
			h.refused.Add(1)
		}
	}
}

// cachePause is a part of what is simulated: sources and networks take time.
func cachePause(rng *rand.Rand, most time.Duration) {
	time.Sleep(time.Duration(rng.Int64N(int64(most))))
}
