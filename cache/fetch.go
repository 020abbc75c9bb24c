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
	c.ask(f)
	return c.wait(ctx, f)
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
		a, err = c.askNow(f.ctx, f.key)
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

// followFrom has a flight followed from its first answer. (Written out in askFor, the
// closure would have answer and error allocated for every hit.)
func (c *Cache[T]) followFrom(f *flight[T], a answer, err error) {
	c.goOn(f, func(ctx context.Context) { c.follow(ctx, f, a, err) })
}

// claim makes an answer that has arrived the flight's. It reports false if the flight
// has been given up.
func (f *flight[T]) claim() bool {
	f.reusable = f.timer != nil && f.timer.Stop()
	return f.asked.CompareAndSwap(asking, answered)
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
	c.suspect(f.key)
}
