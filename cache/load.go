package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"holdfast/internal/blocking"
	"holdfast/internal/codec"
)

// loadAndStore loads a value, which the server told this process to do, and stores
// it with the lease's token: if that is another's by now, it stores nothing.
func (c *Cache[T]) loadAndStore(ctx context.Context, f *flight[T], a answer) {
	var old T
	had := a.there && codec.Decode(c.o.Codec, a.value, &old) == nil
	ahead := had && c.fresh(ctx, f.key)
	if ahead { // nobody need wait for what comes before it is due
		c.mu.Lock()
		f.alone = true
		c.mu.Unlock()
		c.finish(f, old, nil)
	}
	value, err := c.run(ctx, f, a.token, func() {})
	switch {
	case err == nil:
		err = c.store(f.key, a.token, value)
		if !ahead {
			c.finish(f, value, err)
		} else if err != nil {
			c.o.Logger.Warn("cache: a refreshed value cannot be stored", "key", f.key, "error", err)
		}
		return
	case errors.Is(err, ErrNotFound):
		c.tell("CACHE.SETNIL", f.key, blocking.Millis(c.o.NegativeTTL), "TOKEN", a.token)
	case ctx.Err() != nil: // called off: somebody else's turn
		err = context.Cause(ctx)
		c.unlock(f.key, a.token)
	default:
		c.tell("CACHE.FAIL", f.key, a.token, oneLine(err.Error()))
		if had {
			c.o.Logger.Warn("cache: a value cannot be loaded anew, the old one stays", "key", f.key, "error", err)
			if !ahead {
				c.finish(f, old, nil)
			}
			return
		}
	}
	if !ahead {
		var none T
		c.finish(f, none, err)
	}
}

// fresh tells whether an old value that is to be loaded anew is within its TTL
// still: then that is ahead of time.
func (c *Cache[T]) fresh(ctx context.Context, key string) bool {
	if c.o.StaleOnError == 0 {
		return true
	}
	left, err := c.rdb.PTTL(ctx, key).Result()
	return err == nil && left > c.o.StaleOnError
}

// errGoexit is the failure of a loader that ended its goroutine.
var errGoexit = errors.New("the loader ended its goroutine")

// run runs the loader, on a goroutine of its own, and renews the lease meanwhile. It
// returns when the load's time is over, be it that the loader does not heed that; over
// is called when the loader has returned. A panic is an error: no caller could recover
// it.
func (c *Cache[T]) run(ctx context.Context, f *flight[T], token string, over func()) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.LoadTimeout)
	defer cancel()
	if token != "" {
		renewal := time.AfterFunc(c.o.Lease/3, func() { c.renew(ctx, f.key, token) })
		defer renewal.Stop()
	}
	type loaded struct {
		value T
		err   error
	}
	came := make(chan loaded, 1)
	c.work.Go(func() {
		l := loaded{err: errGoexit}
		defer func() {
			if p := recover(); p != nil {
				l.err = fmt.Errorf("the loader panicked: %v\n%s", p, debug.Stack())
			}
			over()
			came <- l
		}()
		l.value, l.err = f.load(ctx)
	})
	select {
	case l := <-came:
		return l.value, l.err
	case <-ctx.Done():
	}
	select {
	case l := <-came: // in the same instant
		return l.value, l.err
	default:
		var none T
		return none, context.Cause(ctx)
	}
}

// renew renews a lease until the load is over, or the lease somebody else's: the
// load goes on then, for those who wait here, but is not stored.
func (c *Cache[T]) renew(ctx context.Context, key, token string) {
	c.spawn(func() {
		tick := time.NewTicker(c.o.Lease / 3)
		defer tick.Stop()
		for ctx.Err() == nil {
			reply, err := c.conns.Send(ctx, "CACHE.EXTEND", key, token, blocking.Millis(c.o.Lease))
			if err == nil && reply != int64(1) || err != nil && !blocking.Passes(err) {
				return
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
}

func (c *Cache[T]) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Go(f)
	}
}

// store stores a value. Only one that cannot be encoded is an error: that it was
// superseded is how it should be, and what Redis cannot take is loaded again.
func (c *Cache[T]) store(key, token string, value T) error {
	data, err := codec.Encode(c.o.Codec, value)
	if err != nil {
		c.tell("CACHE.FAIL", key, token, oneLine(err.Error()))
		return err
	}
	c.tell("CACHE.SET", key, data, c.o.lifetime(), "TOKEN", token)
	return nil
}

// tell sends the outcome of a load, for a moment also to a server that does not
// answer; with a token it does no harm twice.
func (c *Cache[T]) tell(args ...any) {
	var backoff blocking.Backoff
	for {
		_, err := c.conns.Send(context.Background(), args...)
		if err == nil {
			return
		}
		if !blocking.Passes(err) || !backoff.Pause(c.ctx, patience) {
			c.o.Logger.Warn("cache: the outcome of a load cannot be told", "command", args[0], "key", args[1], "error", err)
			return
		}
	}
}

// oneLine is a text that fits in an error reply.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 500)]
}
