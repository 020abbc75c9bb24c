package cache

import (
	"context"
	"errors"
	"time"

	"holdfast/internal/blocking"
	"holdfast/internal/codec"
)

// staleWait is how long the caller that loads waits for its load while it has an old
// value to return.
const staleWait = time.Second

// lease is the right to load a key, and what is at hand meanwhile.
type lease[T any] struct {
	token string
	old   T
	had   bool // old is a value
	ahead bool // within its TTL still: nobody waits for the load
}

// loadAndStore loads a value, which the server told this process to do, and stores it
// with the lease's token. If the lease is another's by now, the server stores nothing.
func (c *Cache[T]) loadAndStore(ctx context.Context, f *flight[T], a answer) {
	l := c.begin(f, a, func() bool { return c.withinTTL(ctx, f.key) })
	if l.had && !l.ahead {
		late := time.AfterFunc(staleWait, func() { c.finish(f, l.old, nil, isStale) })
		defer late.Stop()
	}
	stop := c.renewUntil(ctx, func(ctx context.Context) bool { return c.extend(ctx, f.key, l.token) })
	var s storing
	value, err := c.run(ctx, f, &s, func() {})
	stop()
	e := c.conclude(ctx, f, l, &s, value, err)
	if e.keptOld {
		c.o.Logger.Warn("cache: loading a value again failed, callers get the old one", "key", f.key, "next_try_in", c.o.LoadBackoff, "error", err)
	}
	c.report(f.key, e.command)
	c.finish(f, e.value, e.err, e.outcome)
}

// begin takes a lease. If the old value is within its TTL the callers get it at once
// and the load goes on in the background; if it is older, those who joined do.
func (c *Cache[T]) begin(f *flight[T], a answer, withinTTL func() bool) lease[T] {
	l := lease[T]{token: a.token}
	l.had = a.there && codec.Decode(c.o.Codec, a.value, &l.old) == nil
	if !l.had {
		return l
	}
	l.ahead = c.o.StaleOnError == 0 || withinTTL()
	c.giveOld(f, l.old)
	if l.ahead {
		c.finish(f, l.old, nil, isHit)
	}
	return l
}

// withinTTL reports whether a value that is due to be loaded again is within its TTL.
func (c *Cache[T]) withinTTL(ctx context.Context, key string) bool {
	reply, err := c.do(ctx, key, c.o.Timeout, "PTTL", c.redisKey(key))
	return err == nil && c.isWithinTTL(reply)
}

// isWithinTTL is withinTTL by the reply of PTTL.
func (c *Cache[T]) isWithinTTL(pttl any) bool {
	left, _ := pttl.(int64)
	return time.Duration(left)*time.Millisecond > c.o.StaleOnError
}

// ending is how a load ends: what Redis is told, and what the callers get.
type ending[T any] struct {
	command []any
	value   T
	err     error
	outcome outcome
	keptOld bool // the load failed, and the old value stays
}

// conclude decides how a load ends that returned value and err.
func (c *Cache[T]) conclude(ctx context.Context, f *flight[T], l lease[T], s *storing, value T, err error) ending[T] {
	key := c.redisKey(f.key)
	unlock := []any{"CACHE.UNLOCK", key, l.token}
	switch {
	case err == nil:
		ttl, keep := s.ttl(c.o.TTL)
		if !keep && l.had { // nobody else waits, and the old value may be wanted yet
			return ending[T]{command: unlock, value: value, outcome: isMiss}
		}
		data, err := codec.Encode(c.o.Codec, value)
		if err != nil {
			return ending[T]{command: []any{"CACHE.FAIL", key, l.token, oneLine(public(err))}, err: err, outcome: isError}
		}
		lifetime := int64(1)
		if keep {
			lifetime = c.o.lifetime(ttl)
		}
		return ending[T]{command: []any{"CACHE.SET", key, data, lifetime, "TOKEN", l.token}, value: value, outcome: isMiss}
	case errors.Is(err, ErrNotFound):
		ttl, keep := s.ttl(c.o.NegativeTTL)
		if !keep {
			return ending[T]{command: unlock, err: err, outcome: isMiss}
		}
		return ending[T]{command: []any{"CACHE.SETNIL", key, blocking.Millis(ttl), "TOKEN", l.token}, err: err, outcome: isMiss}
	case ctx.Err() != nil: // nobody waits: the load is another's turn
		return ending[T]{command: unlock, err: context.Cause(ctx), outcome: isError}
	}
	command := []any{"CACHE.FAIL", key, l.token, oneLine(public(err))}
	if !l.had {
		return ending[T]{command: command, err: err, outcome: isError}
	}
	if c.o.LoadBackoff > 0 {
		command = append(command, "BACKOFF", blocking.Millis(c.o.LoadBackoff))
	}
	return ending[T]{command: command, value: l.old, outcome: isStale, keptOld: true}
}
