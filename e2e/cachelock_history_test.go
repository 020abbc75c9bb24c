package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

// No reader is ever handed a value older than an invalidation that had ended
// when it asked: not from the cache, not by waiting, not by loading. Loaders
// are slow, run out of lease, fail and let go all the while; connections and replies are
// lost, the databases are swapped, values are evicted, and the server is killed.
//
// The source of truth is a number that only grows. A writer raises it, then
// invalidates; when that is answered, the number is what every later reader
// must see at least. A reader notes that bound, asks, and compares.
func TestNoReaderSeesAValueOlderThanAnInvalidation(t *testing.T) {
	cacheIsRead(t, seeded(t), 5*time.Second)
}

func cacheIsRead(t *testing.T, seed uint64, howLong time.Duration) tally {
	c := cacheServer(t, lockAOF)
	p := clienttest.NewProxy(t, c.Addr)
	ctx, cancel := context.WithTimeout(context.Background(), howLong)
	defer cancel()
	h := &cacheHistory{t: t, ctx: ctx}
	conn := func(i int) *cacheClient { return &cacheClient{h: h, addr: []string{c.Addr, p.Addr}[i%2]} }
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() { h.write(conn(i), rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range 24 {
		all.Go(func() { h.read(conn(i), rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	all.Go(func() { h.flush(conn(0), rand.New(rand.NewPCG(seed, 10))) })
	all.Go(func() { h.nemesis(c.Instance, p, rand.New(rand.NewPCG(seed, 11))) })
	all.Wait()
	c.cacheConn = c.another() // the first one died with the server
	c.nobodyWaits()
	for what, n := range map[string]int64{
		"values read": h.values.Load(), "loads stored": h.stored.Load(),
		"late values refused": h.refused.Load(), "invalidations": h.invalidations.Load(),
		"kills": h.kills.Load(), "answers lost": h.lost.Load(),
	} {
		t.Logf("%d %s", n, what)
		if n == 0 {
			t.Errorf("no %s: the history proves nothing", what)
		}
	}
	return tally{int(h.requests.Load()), int(h.kills.Load()), 1}
}

// historyKeys are few, so that everybody meets.
const historyKeys = 3

type cacheHistory struct {
	t       *testing.T
	ctx     context.Context
	truth   [historyKeys]atomic.Int64
	atLeast [historyKeys]atomic.Int64 // what ended invalidations promise

	values, stored, refused, invalidations, requests, lost, kills atomic.Int64
}

// cacheClient is a client that connects again when its connection broke.
type cacheClient struct {
	h    *cacheHistory
	addr string
	conn *lockConn
}

// ask sends a command; answered is false when nobody can say whether it was carried out.
func (c *cacheClient) ask(line string, args ...any) (reply string, answered bool) {
	for c.conn == nil {
		if c.h.ctx.Err() != nil {
			return "", false
		}
		if c.conn = dialLock(c.addr); c.conn != nil {
			c.conn.patience = time.Second
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	c.h.requests.Add(1)
	reply, err := c.conn.exchange(cacheWords(line, args))
	if err != nil || strings.HasPrefix(reply, "-LOADING") || strings.HasPrefix(reply, "-UNBLOCKED") || strings.HasPrefix(reply, "-OOM") {
		c.h.lost.Add(1)
		c.conn.close()
		c.conn = nil
		return "", false
	}
	return reply, true
}

// nemesis kills clients and the server, which comes back with what its append-only file
// kept, and loses connections and replies.
func (h *cacheHistory) nemesis(s *holdfasttest.Instance, p *clienttest.Proxy, rng *rand.Rand) {
	c := &cacheClient{h: h, addr: s.Addr}
	for h.ctx.Err() == nil {
		cachePause(rng, 200*time.Millisecond)
		h.kills.Add(1)
		switch rng.IntN(9) {
		case 0:
			p.Cut()
		case 1:
			p.HalfOpen()
		case 2:
			p.Forget()
		case 3:
			p.CutReplies("CACHE.FETCH", 2)
		case 4:
			p.SwallowReplies([]string{"CACHE.SET", "CACHE.DEL"}[rng.IntN(2)], 2)
		case 5:
			c.ask("CLIENT KILL TYPE normal SKIPME yes")
		case 6:
			c.ask("CLIENT PAUSE 20 WRITE")
		case 7:
			s.Kill()
			s.Restart()
		case 8:
			c.ask("CONFIG SET maxmemory-policy % maxmemory 1", []string{"noeviction", "allkeys-lru", "volatile-ttl"}[rng.IntN(3)])
			cachePause(rng, 20*time.Millisecond)
			c.ask("CONFIG SET maxmemory 0")
		}
	}
}

func (h *cacheHistory) write(c *cacheClient, rng *rand.Rand) {
	for h.ctx.Err() == nil {
		k := rng.IntN(historyKeys)
		v := h.truth[k].Add(1)
		if _, answered := c.ask("CACHE.DEL %", fmt.Sprint("k", k)); answered {
			h.promise(k, v)
		}
		cachePause(rng, 40*time.Millisecond)
	}
}

// promise notes that an invalidation has ended.
func (h *cacheHistory) promise(k int, v int64) {
	for old := h.atLeast[k].Load(); v > old && !h.atLeast[k].CompareAndSwap(old, v); old = h.atLeast[k].Load() {
	}
	h.invalidations.Add(1)
}

// emptySwap has an empty database take the place of the one that is in use.
const emptySwap = "redis.call('SELECT', 1) redis.call('FLUSHDB') redis.call('SELECT', 0) return redis.call('SWAPDB', 0, 1)"

// flush is an operator with a heavy hand: it invalidates everything.
func (h *cacheHistory) flush(c *cacheClient, rng *rand.Rand) {
	for h.ctx.Err() == nil {
		cachePause(rng, 100*time.Millisecond)
		var v [historyKeys]int64
		for k := range v {
			v[k] = h.truth[k].Add(1)
		}
		line := []string{"FLUSHDB", "EVAL % 0"}[rng.IntN(2)]
		if reply, answered := c.ask(line, emptySwap); !answered || reply != "OK" {
			if answered {
				h.t.Errorf("%s: %s", line, reply)
			}
			continue
		}
		for k := range v {
			h.promise(k, v[k])
		}
	}
}

func (h *cacheHistory) read(c *cacheClient, rng *rand.Rand) {
	for h.ctx.Err() == nil {
		k := rng.IntN(historyKeys)
		key := fmt.Sprint("k", k)
		atLeast := h.atLeast[k].Load()
		reply, answered := c.ask("CACHE.FETCH % % 200 BLOCK % REFRESH %", key, 1+rng.IntN(8), 1+rng.IntN(50), rng.IntN(2)*rng.IntN(100))
		if !answered {
			continue
		}
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
			words := strings.Fields(strings.Trim(reply, "[]"))
			h.load(c, rng, k, key, words[len(words)-1])
		case `"WAIT"`, "-LOADFAILED":
		default:
			h.t.Errorf("a reader of %s heard %s", key, reply)
			return
		}
		cachePause(rng, 3*time.Millisecond)
	}
}

// load reads the truth and stores it a while later, if it may.
func (h *cacheHistory) load(c *cacheClient, rng *rand.Rand, k int, key, token string) {
	cachePause(rng, 3*time.Millisecond)
	v := h.truth[k].Load()
	cachePause(rng, 8*time.Millisecond)
	switch rng.IntN(20) {
	case 0:
		c.ask("CACHE.FAIL % % down", key, token)
	case 1:
		c.ask("CACHE.UNLOCK % %", key, token)
	case 2: // dies
	default:
		switch reply, answered := c.ask("CACHE.SET % % % TOKEN %", key, v, 1+rng.IntN(100), token); {
		case reply == "OK":
			h.stored.Add(1)
		case answered:
			h.refused.Add(1)
		}
	}
}

// cachePause is a part of what is simulated: sources and networks take time.
func cachePause(rng *rand.Rand, most time.Duration) {
	time.Sleep(time.Duration(rng.Int64N(int64(most))))
}
