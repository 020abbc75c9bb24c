package cache

import (
	"context"
	"sync"
	"time"

	"holdfast/internal/blocking"
	"holdfast/internal/codec"
)

// Set stores a value for ttl, whatever was there; 0 is Options.TTL. It ends a load that
// is under way, and who waits for that gets this value. A call of Fetch that begins
// after Set returned gets nothing older. Prefer Fetch and Invalidate: of two processes
// that call Set, the later call wins, even if what it stores is older.
func (c *Cache[T]) Set(ctx context.Context, key string, value T, ttl time.Duration) error {
	data, err := codec.Encode(c.o.Codec, value)
	if err != nil {
		return failed("set", key, err)
	}
	if ttl <= 0 {
		ttl = c.o.TTL
	}
	err = c.persist(ctx, func() error {
		_, err := c.send(ctx, "CACHE.SET", c.redisKey(key), data, c.o.lifetime(ttl))
		return err
	})
	c.forget(key)
	if err != nil {
		return failed("set", key, err)
	}
	return nil
}

// Peek returns the value of a key if it is there, be it an old one, and loads nothing.
// It reports false where there is none, and where it is known that there is none.
func (c *Cache[T]) Peek(ctx context.Context, key string) (value T, ok bool, err error) {
	if c.near != nil {
		if value, err, ok := c.near.get(key); ok {
			return value, err == nil, nil
		}
	}
	if err := c.usable(ctx); err != nil {
		return value, false, failed("peek", key, err)
	}
	reply, err := c.send(ctx, "CACHE.GET", c.redisKey(key))
	text, ok := reply.(string)
	if err == nil && ok {
		err = codec.Decode(c.o.Codec, text, &value)
	}
	if err != nil {
		var none T
		return none, false, failed("peek", key, err)
	}
	return value, ok, nil
}

func (c *Cache[T]) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.Cause(c.ctx)
}

// forget takes a value out of this process: the next call asks Redis for it.
func (c *Cache[T]) forget(key string) {
	if c.near != nil {
		c.near.drop(key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[key]; f != nil { // callers who share it began before
		c.unlink(f)
	}
}

// persist calls try again while Redis does not answer, for Options.Outage or until ctx
// ends.
func (c *Cache[T]) persist(ctx context.Context, try func() error) error {
	var backoff blocking.Backoff
	for {
		if err := c.usable(ctx); err != nil {
			return err
		}
		err := try()
		if err == nil || !blocking.Passes(err) || !backoff.Pause(ctx, c.o.Outage) {
			if ctx.Err() != nil && err != nil {
				return ctx.Err()
			}
			return err
		}
	}
}

// send sends a command once, through the client that was given to New, so
// that its hooks see the command. It returns when ctx ends, and within Timeout.
func (c *Cache[T]) send(ctx context.Context, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	return c.conns.Send(ctx, args...)
}

// report tells Redis how a load ended, also if a connection of the client's is dead. With
// the lease's token a second time does no harm. What Redis cannot be told is loaded
// again.
func (c *Cache[T]) report(key string, command []any) {
	ctx := context.WithoutCancel(c.ctx)
	_, err := c.send(ctx, command...)
	if err != nil && isOutage(err) && !blocking.Refused(err) {
		c.stats.redisErrors.Add(1)
		c.suspect(key)
		_, err = c.do(ctx, key, c.o.Timeout, command...)
	}
	if err != nil && !isOutage(err) {
		c.o.Logger.Warn("cache: Redis refuses how a load ended", "command", command[0], "key", key, "error", err)
	}
}

// extend renews a lease, and reports whether to go on renewing it.
func (c *Cache[T]) extend(ctx context.Context, key, token string) bool {
	reply, err := c.do(ctx, key, c.o.Lease/3, "CACHE.EXTEND", c.redisKey(key), token, blocking.Millis(c.o.Lease))
	return err == nil && reply == int64(1) || err != nil && isOutage(err)
}

// renewUntil calls renew every third of the lease, until it reports false or the
// returned function is called. A load whose lease another process took goes on, for the
// callers here, but is not stored.
func (c *Cache[T]) renewUntil(ctx context.Context, renew func(context.Context) bool) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var once sync.Once
	first := time.AfterFunc(c.o.Lease/3, func() {
		c.spawn(func() {
			tick := time.NewTicker(c.o.Lease / 3)
			defer tick.Stop()
			for ctx.Err() == nil && renew(ctx) {
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	})
	return func() { once.Do(func() { first.Stop(); cancel() }) }
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
