package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

const (
	// keysPerDelete is how many keys one CACHE.DEL has: enough to make round trips
	// cheap, and few enough not to hold up the server.
	keysPerDelete = 256
	// deletesPerTrip is how many CACHE.DEL one pipeline has.
	deletesPerTrip = 64
)

// Invalidate removes values, and sees to it that no load that began before stores what
// it read. A call of Fetch that begins after Invalidate returned gets a newer value.
// Change the source first, then invalidate.
//
// Many keys cost few round trips: CACHE.DEL takes several, and in a cluster each node
// gets one pipeline. While Redis does not answer, Invalidate tries again for
// Options.Outage or until ctx ends. Where it gives up it calls
// Options.OnInvalidateError with the keys that may not be invalidated and returns an
// error; the others are.
func (c *Cache[T]) Invalidate(ctx context.Context, keys ...string) error {
	left := keys
	err := c.persist(ctx, func() (err error) {
		left, err = c.invalidate(ctx, left)
		return err
	})
	for _, key := range keys { // also those that failed: this process knows they are old
		c.forget(key)
	}
	if err == nil || len(left) == 0 {
		return nil
	}
	if len(left) == 1 {
		err = failed("invalidate", left[0], err)
	} else {
		err = fmt.Errorf("cache: invalidate %q and %d more: %w%s", left[0], len(left)-1, err, hint(err))
	}
	if c.o.OnInvalidateError != nil {
		c.o.OnInvalidateError(left, err)
	}
	return err
}

// invalidate tries once, and returns the keys for which that failed and why. Of several
// errors it returns one that is worth another try, if there is one.
func (c *Cache[T]) invalidate(ctx context.Context, keys []string) (left []string, err error) {
	each := keysPerDelete
	if _, one := c.rdb.(*redis.Client); !one {
		each = 1 // the keys of one command must share a slot, and a ring's a server
	}
	for len(keys) > 0 {
		var commands [][]any
		var parts [][]string
		for len(keys) > 0 && len(commands) < max(deletesPerTrip, 1024/each) {
			part := keys[:min(each, len(keys))]
			keys = keys[len(part):]
			command := make([]any, 1, 1+len(part))
			command[0] = "CACHE.DEL"
			for _, key := range part {
				command = append(command, c.redisKey(key))
			}
			commands, parts = append(commands, command), append(parts, part)
		}
		_, errs := c.conns.SendAll(ctx, commands)
		for i, e := range errs {
			if e == nil {
				continue
			}
			left = append(left, parts[i]...)
			if err == nil || blocking.Passes(e) {
				err = e
			}
		}
		if ctx.Err() != nil {
			return append(left, keys...), errors.Join(err, ctx.Err())
		}
	}
	return left, err
}
