package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/bench/internal/result"
)

// hold is how long a client keeps the lock that all want.
const hold = 500 * time.Microsecond

// turns is what came of clients who all wanted one lock for a while.
type turns struct {
	rate     float64 // grants in a second
	commands float64 // of the server, for each grant
	least    float64 // grants of the client with the fewest, beside the one with the most
	waits    []float64
	held     time.Duration // on average, which is a little more than hold
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
		clients, rounds int
		during          time.Duration
	}{{2, b.Rounds(), time.Second / 2}, {50, b.Rounds(), 3 * time.Second / 2}, {500, b.Rounds(), 5 * time.Second}} {
		if b.Quick {
			size.during /= 4
		}
		var sides []side[turns]
		for _, l := range lockers {
			sides = append(sides, side[turns]{l.name, func() turns { return s.contest(size.clients, size.during, l.maker) }})
		}
		results := contest(b, size.rounds, sides)
		trip := s.roundTrip()
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
		write("fewest grants of a client, beside the most", "share", nil, func(t turns) float64 { return t.least })
		for _, p := range percentiles {
			write("wait, "+p.name, "ms", nil, wait(p.q))
		}
		write("longest wait", "ms", nil, wait(1))
		write("commands per grant, ours", "", AtMost(2.05), func(t turns) float64 { return t.commands })
		write("fewest grants beside the most, ours", "share", AtLeast(0.9), func(t turns) float64 { return t.least })
		if size.clients == 2 { // one late wake-up is all of it
			continue
		}
		write("longest wait, in clients × (hold + round trip)", "", AtMost(1.2), func(t turns) float64 {
			return result.Quantile(t.waits, 1) / ms(time.Duration(size.clients)*(t.held+trip))
		})
	}
	return nil
}

// contest lets clients take turns for a while. Each is made and connected
// beforehand, and it counts from when each has had the lock, or all have tried for
// a while, to when they are told to stop: who waits then has waited so long.
func (s *Server) contest(clients int, during time.Duration, maker makers) (t turns) {
	s.run("FLUSHALL")
	// A holder that pauses keeps one of Go's processors from the others, as it would not if
	// each were a process.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	takers := make([]taker, clients)
	for i := range takers {
		var done func()
		takers[i], done = maker(s)
		defer done()
	}
	var (
		counts atomic.Bool
		grants = make([]int, clients)
		waits  = make([][]float64, clients)
		held   = make([]time.Duration, clients)
		had    sync.WaitGroup // each has had the lock
	)
	had.Add(clients)
	ctx, stop := context.WithCancel(bg)
	defer stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		race(takers, func(i int, take taker) {
			first := sync.OnceFunc(had.Done)
			defer first()
			for ctx.Err() == nil {
				began := time.Now()
				release, err := take(ctx, "lock")
				got := time.Now()
				if counting := counts.Load(); counting || err != nil {
					waits[i] = append(waits[i], ms(got.Sub(began)))
				}
				if err != nil {
					return
				}
				if first(); counts.Load() {
					grants[i]++
				}
				pause(hold)
				if counts.Load() {
					held[i] += time.Since(got)
				}
				release()
			}
		})
	}()
	all := make(chan struct{})
	go func() { had.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(time.Duration(clients)*4*time.Millisecond + 200*time.Millisecond):
	}
	before := s.commands()
	counts.Store(true)
	time.Sleep(during)
	counts.Store(false)
	commands := s.commands() - before
	stop()
	<-over
	total := 0
	for _, n := range grants {
		total += n
	}
	t.rate = float64(total) / during.Seconds()
	t.commands = commands / float64(max(total, 1))
	t.least = float64(slices.Min(grants)) / float64(max(slices.Max(grants), 1))
	t.waits = slices.Concat(waits...)
	for _, d := range held {
		t.held += d / time.Duration(max(total, 1))
	}
	return t
}

// pause sleeps more exactly than time.Sleep, which rounds up to milliseconds
// where nothing else is due.
func pause(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}

// race runs f for all at once and waits for the last.
func race(takers []taker, f func(i int, take taker)) {
	var all sync.WaitGroup
	for i, take := range takers {
		all.Go(func() { f(i, take) })
	}
	all.Wait()
}

// roundTrip is what a PING takes when nobody else is there, at the pace at which the
// lock goes round: a server that slept meanwhile is slower to answer.
func (s *Server) roundTrip() time.Duration {
	c := s.alone()
	defer c.Close()
	took := make([]float64, 1000)
	for i := range took {
		pause(hold)
		began := time.Now()
		must(c.Ping(bg).Err())
		took[i] = us(time.Since(began))
	}
	return time.Duration(result.Quantile(took, 0.5) * float64(time.Microsecond))
}
