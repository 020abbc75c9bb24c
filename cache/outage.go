package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
	"holdfast/internal/codec"
)

// probeEvery is how often a server that is down is asked whether it answers again.
const probeEvery = time.Second

// refusalTime is how long errors that come at once are waited out before values are
// loaded without Redis: a failover may be that short.
const refusalTime = 200 * time.Millisecond

func (o *Options) refusalTime() time.Duration { return min(refusalTime, o.Timeout) }

// server is a server that did not answer lately. While a goroutine probes it, this
// entry exists; the servers of a cluster fail one by one.
type server struct {
	addr    string
	down    bool // values of its keys are loaded without it
	refuses bool // it answers, but with errors: what only reads may still work
}

// isOutage reports whether an error says that the server is of no use now, rather than
// that something is wrong with this key or command.
func isOutage(err error) bool {
	return blocking.Passes(err) || redis.HasErrorPrefix(err, "unknown command") ||
		redis.HasErrorPrefix(err, "NOAUTH") || redis.HasErrorPrefix(err, "WRONGPASS")
}

// timedOut reports whether it took a timeout to fail: no time is left then for another
// try.
func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// serverOf is the address of the server that has a key now.
func (c *Cache[T]) serverOf(key string) string {
	node, err := c.conns.Node(c.ctx, c.redisKey(key))
	if err != nil {
		return ""
	}
	return node.Addr
}

// isDown reports whether the key's server is known not to answer.
func (c *Cache[T]) isDown(key string) bool {
	if c.down.Load() == 0 {
		return false
	}
	addr := c.serverOf(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[addr]
	return s != nil && s.down
}

// suspect has the server of a key probed, because it did not answer for that key. What
// failed may be one connection: only the probe decides that the server is down.
func (c *Cache[T]) suspect(key string) {
	addr := c.serverOf(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.servers[addr] != nil {
		return
	}
	if c.servers == nil {
		c.servers = map[string]*server{}
	}
	s := &server{addr: addr}
	c.servers[addr] = s
	c.work.Go(func() { c.probe(s, key) })
}

// probe asks a server, over new connections, until it answers, and marks it down if it
// is silent for Timeout or refuses for refusalTime.
func (c *Cache[T]) probe(s *server, key string) {
	var backoff blocking.Backoff
	began := time.Now()
	for {
		c.conns.Forget(c.ctx) // kept connections may be dead, and the primary another
		err := c.tryServer(key)
		if c.ctx.Err() != nil {
			return
		}
		if err == nil || c.serverOf(key) != s.addr { // it answers, or another has its keys
			c.markUp(s)
			return
		}
		if time.Since(began) >= c.o.refusalTime() {
			c.markDown(s, err)
			pause(c.ctx, probeEvery)
		} else {
			backoff.Pause(c.ctx, c.o.Timeout)
		}
	}
}

// tryServer asks for a key as Fetch does, because a server may answer other commands
// and refuse this one.
func (c *Cache[T]) tryServer(key string) error {
	a, err := c.askAgain(c.ctx, key)
	switch {
	case err == nil && a.status == "LOAD":
		c.unlock(key, a.token)
	case err != nil && !isOutage(err):
		return nil // it answers
	}
	return err
}

func (c *Cache[T]) markDown(s *server, err error) {
	c.mu.Lock()
	first := !s.down
	s.down, s.refuses = true, blocking.Refused(err)
	if first {
		c.down.Add(1)
	}
	c.mu.Unlock()
	if first {
		c.o.Logger.Warn("cache: Redis does not answer: values are loaded without it", "server", s.addr, "at_a_time", c.o.MaxLoads,
			"error", fmt.Sprint(err, hint(err)))
	}
}

func (c *Cache[T]) markUp(s *server) {
	c.mu.Lock()
	delete(c.servers, s.addr)
	if s.down {
		c.down.Add(-1)
	}
	c.mu.Unlock()
	if s.down {
		c.o.Logger.Info("cache: Redis answers again", "server", s.addr)
	}
}

// loadWithoutRedis loads a value that no other process hears of, at most MaxLoads at a
// time. A server that only refuses CACHE.FETCH, because its disk is full, say, is asked
// for the value first.
func (c *Cache[T]) loadWithoutRedis(ctx context.Context, f *flight[T]) {
	var value T
	if c.readRefusing(ctx, f) {
		return
	}
	select {
	case c.withoutSlot <- struct{}{}:
		value, err := c.run(ctx, f, new(storing), func() { <-c.withoutSlot })
		c.finish(f, value, err, outcomeOf(err))
	case <-ctx.Done():
		c.finish(f, value, context.Cause(ctx), isError)
	}
}

// readRefusing finishes a flight with the value of a server that refuses CACHE.FETCH
// but answers CACHE.GET.
func (c *Cache[T]) readRefusing(ctx context.Context, f *flight[T]) bool {
	if c.down.Load() == 0 {
		return false
	}
	addr := c.serverOf(f.key)
	c.mu.Lock()
	s := c.servers[addr]
	refuses := s != nil && s.refuses
	c.mu.Unlock()
	if !refuses {
		return false
	}
	reply, err := c.do(ctx, f.key, c.o.Timeout, "CACHE.GET", c.redisKey(f.key))
	text, ok := reply.(string)
	if err != nil || !ok {
		return false
	}
	var value T
	if codec.Decode(c.o.Codec, text, &value) != nil {
		return false
	}
	c.finish(f, value, nil, isHit)
	return true
}
