package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

func init() {
	experiments = append(experiments, experiment{"6 locks: contended", contendedLocks})
}

// hold is how long a client keeps the lock that all want.
const hold = 500 * time.Microsecond

// taker is one client's way to a lock: it waits until it has it, and answers
// what gives it back.
type taker func(ctx context.Context) (release func(), err error)

// contest is what came of clients who all wanted one lock for a while.
type contest struct {
	grants   int
	commands float64 // of the server, for each grant
	fairness float64 // fewest grants of a client to most
	longest  time.Duration
}

// contendedLocks: many clients want one lock, and hold it for half a
// millisecond. The lock that is handed over costs two commands for each grant,
// and everyone's turn comes; a lock that is polled or waited for by broadcast
// costs the more the more there are, and has its favourites.
func contendedLocks(b *Bench) error {
	s, err := holdfast()
	if err != nil {
		return err
	}
	defer s.Close()
	for _, clients := range []int{50, 500} {
		run := func(makers func(i int) (taker, func())) func() contest {
			return func() contest { return s.contest(b, clients, makers) }
		}
		peers := []struct {
			name string
			run  func() contest
		}{
			{"redislock, polling every 10 ms", run(s.redislock)},
			{"redsync, as it comes", run(s.redsync)},
			{"rueidislock, client tracking", run(s.rueidislock)},
		}
		ours := run(s.locks)
		turn := s.turn()
		var us []contest
		for _, peer := range peers {
			var them []contest
			for range b.contests() {
				us, them = append(us, ours()), append(them, peer.run())
			}
			b.beside(fmt.Sprintf("%d clients, commands per grant", clients), "", peer.name, us, them, nil, func(c contest) float64 { return c.commands })
			b.beside(fmt.Sprintf("%d clients, longest wait", clients), "ms", peer.name, us, them, nil, func(c contest) float64 { return ms(c.longest) })
			b.beside(fmt.Sprintf("%d clients, fewest grants to most", clients), "", peer.name, us, them, nil, func(c contest) float64 { return c.fairness })
			b.beside(fmt.Sprintf("%d clients, grants per s", clients), "", peer.name, us, them, nil, func(c contest) float64 { return float64(c.grants) / b.contestTime(clients).Seconds() })
		}
		b.alone(fmt.Sprintf("%d clients, commands per grant", clients), "", us, []Goal{AtMost(2.05)}, func(c contest) float64 { return c.commands })
		b.alone(fmt.Sprintf("%d clients, fewest grants to most", clients), "", us, []Goal{AtLeast(0.9)}, func(c contest) float64 { return c.fairness })
		b.alone(fmt.Sprintf("%d clients, longest wait in turns of all", clients), "", us, []Goal{AtMost(1.2)},
			func(c contest) float64 { return float64(c.longest) / float64(time.Duration(clients)*turn) })
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (b *Bench) contests() int {
	if b.Quick {
		return 1
	}
	return 3
}

// contestTime is long enough for each client to have a dozen turns or more: with
// fewer, one turn more or less looks like injustice.
func (b *Bench) contestTime(clients int) time.Duration {
	d := 5 * time.Second
	if clients > 100 {
		d = 15 * time.Second
	}
	if b.Quick {
		d /= 3
	}
	return d
}

// beside writes a row of a figure of ours and theirs, run by run.
func (b *Bench) beside(name, unit, peer string, us, them []contest, goals []Goal, of func(contest) float64) {
	us = us[len(us)-len(them):]
	var x, y, ratio []float64
	for i := range them {
		x, y = append(x, of(us[i])), append(y, of(them[i]))
		ratio = append(ratio, x[i]/max(y[i], 0.001))
	}
	theirs, r := stat(y), stat(ratio)
	b.add(Row{Name: name, Unit: unit, Ours: stat(x), Peer: peer, Theirs: &theirs, Ratio: &r}, goals)
}

func (b *Bench) alone(name, unit string, us []contest, goals []Goal, of func(contest) float64) {
	var x []float64
	for _, c := range us {
		x = append(x, of(c))
	}
	b.add(Row{Name: name, Unit: unit, Ours: stat(x)}, goals)
}

// contest lets clients take turns for a while. Each is made and connected
// beforehand.
func (s *Server) contest(b *Bench, clients int, makers func(i int) (taker, func())) (c contest) {
	s.run("FLUSHALL")
	takers := make([]taker, clients)
	for i := range takers {
		var done func()
		takers[i], done = makers(i)
		defer done()
	}
	grants, waits := make([]int, clients), make([]time.Duration, clients)
	before := s.commands()
	ctx, cancel := context.WithTimeout(context.Background(), b.contestTime(clients))
	defer cancel()
	var all sync.WaitGroup
	for i, take := range takers {
		all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				release, err := take(ctx)
				if err != nil {
					return
				}
				waits[i] = max(waits[i], time.Since(began))
				grants[i]++
				time.Sleep(hold)
				release()
			}
		})
	}
	all.Wait()
	for _, n := range grants {
		c.grants += n
	}
	c.commands = float64(s.commands()-before) / float64(max(c.grants, 1))
	c.fairness = float64(slices.Min(grants)) / float64(max(slices.Max(grants), 1))
	c.longest = slices.Max(waits)
	return c
}

// turn is what a client's turn takes when nobody else is there: it lets go and
// takes the lock, and holds it.
func (s *Server) turn() time.Duration {
	take, done := s.locks(0)
	defer done()
	const turns = 200
	began := time.Now()
	for range turns {
		release, err := take(context.Background())
		if err != nil {
			fail(err)
		}
		time.Sleep(hold)
		release()
	}
	return time.Since(began) / turns
}

func (s *Server) commands() int64 {
	return int64(s.infoNumber("stats", "total_commands_processed"))
}

// locks is a client of LOCK.ACQUIRE … BLOCK.
func (s *Server) locks(i int) (taker, func()) {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: 1, DisableIdentity: true})
	c.Ping(context.Background())
	owner := fmt.Sprint("client-", i)
	return func(context.Context) (func(), error) {
		n, err := c.Do(context.Background(), "LOCK.ACQUIRE", "lock", owner, 60000, "BLOCK", 0).Int()
		if err != nil || n != 1 {
			return nil, fmt.Errorf("LOCK.ACQUIRE: %d %w", n, err)
		}
		return func() { c.Do(context.Background(), "LOCK.RELEASE", "lock", owner) }, nil
	}, func() { _ = c.Close() }
}

func (s *Server) redislock(int) (taker, func()) {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, PoolSize: 1, DisableIdentity: true})
	c.Ping(context.Background())
	locker := redislock.New(c)
	return func(ctx context.Context) (func(), error) {
		l, err := locker.Obtain(ctx, "lock", time.Minute, &redislock.Options{RetryStrategy: redislock.LinearBackoff(10 * time.Millisecond)})
		if err != nil {
			return nil, err
		}
		return func() { _ = l.Release(context.Background()) }, nil
	}, func() { _ = c.Close() }
}

func (s *Server) redsync(int) (taker, func()) {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, PoolSize: 1, DisableIdentity: true})
	c.Ping(context.Background())
	rs := redsync.New(goredis.NewPool(c))
	return func(ctx context.Context) (func(), error) {
		m := rs.NewMutex("lock", redsync.WithExpiry(time.Minute), redsync.WithTries(1<<20))
		if err := m.LockContext(ctx); err != nil {
			return nil, err
		}
		return func() { _, _ = m.UnlockContext(context.Background()) }, nil
	}, func() { _ = c.Close() }
}

// rueidislock gives each client a locker of its own, as each process has.
func (s *Server) rueidislock(int) (taker, func()) {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{s.Addr}, PipelineMultiplex: -1},
		KeyMajority:  1, NoLoopTracking: true,
	})
	if err != nil {
		fail(err)
	}
	return func(ctx context.Context) (func(), error) {
		_, cancel, err := l.WithContext(ctx, "lock")
		if err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		return cancel, nil
	}, l.Close
}
