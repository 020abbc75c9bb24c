package cache

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
	"holdfast/internal/codec"
)

// resolve finishes a flight with an answer that needs no load, and keeps it near if it
// may be. It reports false for other answers, and for a value that cannot be decoded:
// that one is loaded again, because its type has changed since it was stored.
func (c *Cache[T]) resolve(f *flight[T], a answer, k answerToKeep[T]) bool {
	var none T
	switch a.status {
	case "HIT", "STALE":
		// Into the flight, because what is passed to a codec is allocated.
		if err := codec.Decode(c.o.Codec, a.value, &f.value); err != nil {
			f.value = none
			return false
		}
		o := isHit
		if a.status == "STALE" {
			o = isStale
		}
		c.keep(f, a, k)
		c.finish(f, f.value, nil, o)
		return true
	case "ABSENT":
		err := failed("fetch", f.key, ErrNotFound)
		f.err = err
		c.keep(f, a, k)
		c.finish(f, none, ErrNotFound, isHit)
		return true
	}
	return false
}

// follow follows a flight to its end, from its first answer or error.
func (c *Cache[T]) follow(ctx context.Context, f *flight[T], a answer, err error) {
	var none T
	var trouble, crowd blocking.Backoff
	for {
		next := c.fetchWaiting
		switch {
		case err != nil && redis.HasErrorPrefix(err, "LOADFAILED"):
			message := strings.TrimPrefix(err.Error(), "LOADFAILED ")
			c.finish(f, none, fmt.Errorf("%w: %s", ErrLoadFailed, message), isError)
			return
		case ctx.Err() != nil:
			if err == nil && a.status == "LOAD" {
				c.unlock(f.key, a.token)
			}
			c.finish(f, none, context.Cause(ctx), isError)
			return
		case err != nil && !isOutage(err):
			c.finish(f, none, err, isError)
			return
		case err != nil:
			c.stats.redisErrors.Add(1)
			c.suspect(f.key)
			if timedOut(err) || c.isDown(f.key) || !trouble.Pause(ctx, c.o.refusalTime()) {
				c.loadWithoutRedis(ctx, f)
				return
			}
			next = c.askAgain
		case c.resolve(f, a, answerToKeep[T]{}):
			return
		case a.status == "LOAD":
			c.loadAndStore(ctx, f, a)
			return
		case a.status != "WAIT": // a value that cannot be decoded
			if _, err := c.do(ctx, f.key, c.o.Timeout, "CACHE.DEL", c.redisKey(f.key)); err != nil && !isOutage(err) {
				c.finish(f, none, err, isError)
				return
			}
		}
		asked := time.Now()
		a, err = next(ctx, f.key)
		if err == nil {
			trouble = blocking.Backoff{}
			// A WAIT that did not wait says that the server has too many waiters.
			if a.status == "WAIT" && time.Since(asked) < round/2 {
				crowd.Pause(ctx, c.o.LoadTimeout)
			}
		}
	}
}
