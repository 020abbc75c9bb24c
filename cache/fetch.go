package cache

import (
	"context"
	"time"
)

// Fetch returns the value of a key. If there is none, one of all the callers in all
// processes that miss it together runs load, and the others get what it returned.
//
// Fetch returns when ctx ends, whatever Redis or the loader do meanwhile; where an old
// value is at hand it returns that. load runs on a goroutine of the cache. Its context
// has the values of ctx and ends after LoadTimeout, or when no caller waits for the
// load any more; a load that goes on regardless keeps nobody waiting. A panic of load
// is an error. [SetTTL] and [DoNotStore] are for load to call.
//
// The error is [ErrNotFound] if load said so, load's own error if it failed here,
// [ErrLoadFailed] if it failed in another process, [ErrLoadTimeout], or ctx's. Redis
// being unreachable is no error: the value is loaded without it after Options.Timeout.
//
// Callers share the value: nobody may modify what it points to.
func (c *Cache[T]) Fetch(ctx context.Context, key string, load func(ctx context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		c.stats.count(isError)
		return none, failed("fetch", key, err)
	}
	if c.near != nil {
		if value, err, ok := c.near.get(key); ok {
			c.stats.count(isNear)
			return value, err
		}
	}
	f, first, err := c.join(ctx, key, load)
	switch {
	case err != nil:
		c.stats.count(isError)
		return none, failed("fetch", key, err)
	case !first:
		return c.share(ctx, f)
	}
	if !c.askHere(ctx, f) {
		c.ask(f)
	}
	return c.wait(ctx, f)
}

// askHere asks Redis in the caller's goroutine, over a kept connection of the cache's
// own: a command on it ends with ctx, and within Timeout. Most calls are hits, and
// waking an asker costs half as much as a hit. It reports false where an asker has to
// ask: near values come by other connections, and go-redis's own do not end with ctx.
func (c *Cache[T]) askHere(ctx context.Context, f *flight[T]) bool {
	if c.near != nil || c.down.Load() > 0 || !c.connected.Load() {
		return false
	}
	conn := c.conns.Kept(c.redisKey(f.key))
	if conn == nil {
		return false
	}
	a, err := c.askNow(ctx, conn, f.key)
	giveBack(conn, err)
	switch {
	case err != nil && ctx.Err() != nil:
		return false // an asker asks for callers who joined, and sees whether Redis is silent
	case !f.asked.CompareAndSwap(asking, answered): // closed meanwhile
		if err == nil && a.status == "LOAD" {
			c.unlock(f.key, a.token)
		}
		return true
	}
	f.reusable = true
	if err != nil || !c.resolve(f, a, answerToKeep[T]{}) {
		c.followInBackground(f, a, err)
	}
	return true
}

func (c *Cache[T]) followInBackground(f *flight[T], a answer, err error) {
	if !c.spawn(func() { c.followFrom(f, a, err) }) {
		var none T
		f.reusable = false
		c.finish(f, none, ErrClosed, isError)
	}
}

// maxIdleAskers is how many askers are kept between calls.
const maxIdleAskers = 64

// ask has an asker ask Redis for a flight. An asker is a goroutine of the cache:
// go-redis does not return when a context ends, so no caller may be in it. Idle askers
// are kept because starting one for each hit costs more than waking one.
func (c *Cache[T]) ask(f *flight[T]) {
	if f.timer == nil {
		f.timer = time.AfterFunc(c.o.Timeout, f.overdue)
	} else {
		f.timer.Reset(c.o.Timeout)
	}
	select {
	case c.asks <- f:
		return
	default:
	}
	if !c.spawn(func() { c.runAsker(f) }) {
		var none T
		c.finish(f, none, ErrClosed, isError)
	}
}

func (c *Cache[T]) runAsker(f *flight[T]) {
	for {
		c.askFor(f)
		if c.idle.Add(1) > maxIdleAskers {
			c.idle.Add(-1)
			return
		}
		select {
		case f = <-c.asks:
			c.idle.Add(-1)
		case <-c.ctx.Done():
			return
		}
	}
}

// askFor asks Redis for a flight and follows it to its end. Most often the first
// answer is the value.
func (c *Cache[T]) askFor(f *flight[T]) {
	if c.down.Load() > 0 && c.isDown(f.key) {
		if f.claim() {
			c.goOn(f, func(ctx context.Context) { c.loadWithoutRedis(ctx, f) })
		}
		return
	}
	a, kept, near := c.askNear(f.ctx, f.key)
	var err error
	if !near {
		a, err = c.askNow(f.ctx, nil, f.key)
	}
	if err == nil && c.near == nil && c.conns.HasRoom() {
		c.keepConnection(f.key)
	}
	if !f.claim() { // too late: somebody else sees to the flight
		if err == nil && a.status == "LOAD" {
			c.unlock(f.key, a.token)
		}
		return
	}
	if err != nil || !c.resolve(f, a, kept) {
		c.followFrom(f, a, err)
	}
}

// keepConnection makes a connection for askHere, unless one is being made.
func (c *Cache[T]) keepConnection(key string) {
	if !c.connecting.CompareAndSwap(false, true) {
		return
	}
	ok := c.spawn(func() {
		c.conns.Keep(c.ctx, c.o.Timeout, c.redisKey(key))
		c.connected.Store(true)
		c.connecting.Store(false)
	})
	if !ok {
		c.connecting.Store(false)
	}
}

// followFrom has a flight followed from its first answer. (Written out in askFor, the
// closure would have answer and error allocated for every hit.)
func (c *Cache[T]) followFrom(f *flight[T], a answer, err error) {
	c.goOn(f, func(ctx context.Context) { c.follow(ctx, f, a, err) })
}

// claim makes an answer that has arrived the flight's. It reports false if the flight
// has been given up.
func (f *flight[T]) claim() bool {
	stopped := f.timer.Stop()
	if !f.asked.CompareAndSwap(asking, answered) {
		return false
	}
	f.reusable = stopped
	return true
}

// overdue is called when Redis has not answered within Timeout: the value is loaded
// without Redis, if anybody still waits for it.
func (f *flight[T]) overdue() {
	c := f.c
	if f.asked.CompareAndSwap(asking, abandoned) {
		ok := c.spawn(func() {
			c.goOn(f, func(ctx context.Context) { c.loadWithoutRedis(ctx, f) })
		})
		if !ok {
			var none T
			c.finish(f, none, ErrClosed, isError)
			return
		}
	}
	c.stats.redisErrors.Add(1)
	c.suspect(f.key)
}
