package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/bench/internal/result"
)

// hold is how long a client keeps the lock that all want.
const hold = 500 * time.Microsecond

// turns is what came of clients who all wanted one lock for a while.
type turns struct {
	rate     float64 // grants in a second
	commands float64 // of the server, for each grant
	fairness float64 // Jain's index of the clients' grants: 1 is the same for all
	waits    []float64
}

// contendedLocks: many clients want one lock, and hold it for half a
// millisecond. The lock that is handed over costs two commands for each grant,
// and everyone's turn comes; a lock that is polled or waited for by broadcast
// costs the more the more there are, and has its favourites.
func contendedLocks(b *Bench) error {
	s, err := module("distlock")
	if err != nil {
		return err
	}
	defer s.Close()
	for _, size := range []struct {
		clients int
		during  time.Duration
	}{{2, time.Second / 2}, {50, 3 * time.Second / 2}, {500, 4 * time.Second}} {
		if b.Quick {
			size.during /= 4
		}
		var sides []side[turns]
		for _, l := range lockers {
			sides = append(sides, side[turns]{l.name, func() turns { return s.contest(size.clients, size.during, l.maker) }})
		}
		results := contest(b, b.Rounds(), sides)
		turn := s.turn()
		write := func(name, unit string, goal *result.Goal, of func(turns) float64) {
			name = fmt.Sprintf("%d clients: %s", size.clients, name)
			if goal != nil { // ours alone, because the goal is no ratio
				b.alone(name, unit, goal, each(results[0], of)...)
				return
			}
			beside(b, name, unit, nil, sides, results, of)
		}
		wait := func(q float64) func(turns) float64 {
			return func(t turns) float64 { return result.Quantile(t.waits, q) }
		}
		write("grants", "per s", nil, func(t turns) float64 { return t.rate })
		write("commands per grant", "", nil, func(t turns) float64 { return t.commands })
		write("fairness", "fair share", nil, func(t turns) float64 { return t.fairness })
		for _, p := range percentiles {
			write("wait, "+p.name, "ms", nil, wait(p.q))
		}
		write("longest wait", "ms", nil, wait(1))
		write("commands per grant, ours", "", AtMost(2.1), func(t turns) float64 { return t.commands })
		write("fairness, ours", "fair share", AtLeast(0.99), func(t turns) float64 { return t.fairness })
		write("longest wait, in turns of all", "", AtMost(1.5), func(t turns) float64 {
			return result.Quantile(t.waits, 1) / ms(time.Duration(size.clients)*turn)
		})
	}
	return nil
}

// contest lets clients take turns for a while. Each is made and connected
// beforehand.
func (s *Server) contest(clients int, during time.Duration, maker makers) (t turns) {
	s.run("FLUSHALL")
	takers := make([]taker, clients)
	for i := range takers {
		var done func()
		takers[i], done = maker(s)
		defer done()
	}
	grants, waits := make([]int, clients), make([][]float64, clients)
	// Before it counts each has had the lock, or all have tried for a while.
	warm, cancel := context.WithTimeout(bg, time.Duration(clients)*2*time.Millisecond+100*time.Millisecond)
	race(takers, func(i int, take taker) {
		if release, err := take(warm, "lock"); err == nil {
			release()
		}
	})
	cancel()
	before := s.commands()
	ctx, cancel := context.WithTimeout(bg, during)
	defer cancel()
	race(takers, func(i int, take taker) {
		for ctx.Err() == nil {
			began := time.Now()
			release, err := take(ctx, "lock")
			// Who had no turn at all waited all the same.
			waits[i] = append(waits[i], ms(time.Since(began)))
			if err != nil {
				return
			}
			grants[i]++
			time.Sleep(hold)
			release()
		}
	})
	total, squares := 0.0, 0.0
	for _, n := range grants {
		total += float64(n)
		squares += float64(n) * float64(n)
	}
	t.rate = total / during.Seconds()
	t.commands = (s.commands() - before) / max(total, 1)
	t.fairness = total * total / max(squares, 1) / float64(clients)
	t.waits = slices.Concat(waits...)
	return t
}

// race runs f for all at once and waits for the last.
func race(takers []taker, f func(i int, take taker)) {
	var all sync.WaitGroup
	for i, take := range takers {
		all.Go(func() { f(i, take) })
	}
	all.Wait()
}

// turn is what a client's turn takes when nobody else is there: it lets go and
// takes the lock, and holds it.
func (s *Server) turn() time.Duration {
	take, done := s.locks()
	defer done()
	const turns = 200
	began := time.Now()
	for range turns {
		release, err := take(bg, "lock")
		must(err)
		time.Sleep(hold)
		release()
	}
	return time.Since(began) / turns
}
