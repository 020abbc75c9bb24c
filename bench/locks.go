package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"holdfast/lock"
)

// taker is one client's way to a lock: it waits until it has it, and answers
// what gives it back.
type taker func(ctx context.Context, name string) (release func(), err error)

// makers make a client of its own for each of those that want a lock, as if each
// were a process, and what closes it.
type makers func(s *Server) (taker, func())

const lease = time.Minute

// lockers are the ways to a lock; the first is ours.
var lockers = []struct {
	name  string
	maker makers
}{
	{"ours", (*Server).locks},
	{"SET NX PX and EVALSHA, every 10 ms", (*Server).setNX},
	{"redislock, every 10 ms", (*Server).redislock},
	{"redsync", (*Server).redsync},
	{"rueidislock", (*Server).rueidislock},
}

// alone is a go-redis client for one.
func (s *Server) alone() *redis.Client {
	c := client(s.Addr, 2)
	must(c.Ping(bg).Err())
	return c
}

// locks is package lock.
func (s *Server) locks() (taker, func()) {
	c := s.alone()
	locks := lock.New(c, lock.Options{Lease: lease})
	return func(ctx context.Context, name string) (func(), error) {
		l, err := locks.Acquire(ctx, name)
		if err != nil {
			return nil, err
		}
		return func() { must(l.Release(bg)) }, nil
	}, func() { _ = locks.Close(); _ = c.Close() }
}

// unlockScript deletes a lock if it is still one's own.
var unlockScript = redis.NewScript(`if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0`)

// setNX is what people write by hand.
func (s *Server) setNX() (taker, func()) {
	c := s.alone()
	me := fmt.Sprintf("%s-%p", owner, c)
	return func(ctx context.Context, name string) (func(), error) {
		for {
			if won, err := c.SetNX(bg, name, me, lease).Result(); err != nil {
				return nil, err
			} else if won {
				return func() { must(unlockScript.Run(bg, c, []string{name}, me).Err()) }, nil
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
	}, func() { _ = c.Close() }
}

func (s *Server) redislock() (taker, func()) {
	c := s.alone()
	locker := redislock.New(c)
	return func(ctx context.Context, name string) (func(), error) {
		l, err := locker.Obtain(ctx, name, lease, &redislock.Options{RetryStrategy: redislock.LinearBackoff(10 * time.Millisecond)})
		if err != nil {
			return nil, err
		}
		return func() { must(l.Release(bg)) }, nil
	}, func() { _ = c.Close() }
}

// redsync waits 50 to 250 ms between its tries, as it does by default.
func (s *Server) redsync() (taker, func()) {
	c := s.alone()
	rs := redsync.New(goredis.NewPool(c))
	return func(ctx context.Context, name string) (func(), error) {
		m := rs.NewMutex(name, redsync.WithExpiry(lease), redsync.WithTries(1<<20))
		if err := m.LockContext(ctx); err != nil {
			return nil, err
		}
		return func() { _, err := m.UnlockContext(bg); must(err) }, nil
	}, func() { _ = c.Close() }
}

// rueidislock is told by client tracking when a lock is released.
func (s *Server) rueidislock() (taker, func()) {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{s.Addr}, PipelineMultiplex: -1, RingScaleEachConn: 6},
		KeyMajority:  1, NoLoopTracking: true, KeyValidity: lease,
	})
	must(err)
	return func(ctx context.Context, name string) (func(), error) {
		_, cancel, err := l.WithContext(ctx, name)
		if err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		return cancel, nil
	}, l.Close
}
