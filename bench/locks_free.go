package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/bsm/redislock"

	"holdfast/bench/internal/result"
	"holdfast/lock"
)

// uncontended: take a free lock and give it back.
func uncontended(b *Bench) error {
	s, err := holdfast()
	if err != nil {
		return err
	}
	defer s.Close()
	pairsInPipeline(b, s)
	lockCost(b, s)
	lockMemory(b, s)
	return pairsByClients(b, s)
}

// pairsInPipeline: as fast as one connection admits, and as fast as the server is when several
// keep it busy, beside SET NX PX and the script that deletes only one's own.
func pairsInPipeline(b *Bench, s *Server) {
	sha := unlockScript.Load(bg, s).Val()
	names := make([]string, 10_000)
	for i := range names {
		names[i] = "lock:" + strconv.Itoa(i)
	}
	for _, c := range []struct {
		conns, depth int
		goal         *result.Goal
	}{{1, 1, AtLeast(1)}, {1, 50, nil}, {4, 50, AtLeast(1.25)}} {
		n, conns, depth := b.size(20_000), c.conns, c.depth
		if depth == 1 {
			n /= 10
		}
		pairs := func(take, give func(name string) []string) func() float64 {
			return func() float64 {
				took := s.loadEach(2*n, conns, depth, func(conn, i int) []string { // a batch of acquires, then one of releases
					name := names[(i/(2*depth)*depth+i%depth)*conns%len(names)+conn]
					if i/depth%2 == 0 {
						return take(name)
					}
					return give(name)
				})
				return float64(n) / took.Seconds()
			}
		}
		name := fmt.Sprintf("acquire and release, pipeline of %d", depth)
		if conns > 1 {
			name = fmt.Sprintf("acquire and release, %d connections, pipeline of %d each", conns, depth)
		}
		b.Closely(5, name, "per s", "SET NX PX and EVALSHA", c.goal,
			pairs(func(name string) []string { return []string{"LOCK.ACQUIRE", name, owner, "600000"} },
				func(name string) []string { return []string{"LOCK.RELEASE", name, owner} }),
			pairs(func(name string) []string { return []string{"SET", name, owner, "NX", "PX", "600000"} },
				func(name string) []string { return []string{"EVALSHA", sha, "1", name, owner} }))
	}
}

// lockCost: what an acquire on fresh names costs the server, beside SET NX PX and
// the same hash made by a script.
func lockCost(b *Bench, s *Server) {
	sha := s.ScriptLoad(bg, `if redis.call('HSETNX',KEYS[1],'owner',ARGV[1])==1 then
		redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1 end return 0`).Val()
	names := make([]string, b.size(50_000))
	for i := range names {
		names[i] = "lock:" + strconv.Itoa(i)
	}
	cpu := func(each bool, stat string, command func(name string) []string) func() float64 {
		return func() float64 {
			s.run("FLUSHALL")
			s.resetStats()
			of := func(i int) []string { return command(names[i]) }
			if each {
				s.loadEach(len(names), workers, 1, func(conn, i int) []string { return of(conn + i*workers) })
			} else {
				s.load(len(names), 100, of)
			}
			return s.cpuPerCall(stat)
		}
	}
	acquire := func(name string) []string { return []string{"LOCK.ACQUIRE", name, owner, "600000"} }
	set := func(name string) []string { return []string{"SET", name, owner, "NX", "PX", "600000"} }
	script := func(name string) []string { return []string{"EVALSHA", sha, "1", name, owner, "600000"} }
	for _, each := range []bool{true, false} {
		name := "LOCK.ACQUIRE, 20 clients, one at a time each"
		goals := []*result.Goal{AtMost(1.5), AtMost(0.8)} // as clients lock: a request each
		if !each {
			name, goals = "LOCK.ACQUIRE, one client, pipeline of 100", []*result.Goal{nil, nil}
		}
		b.Compare(name, "µs of server CPU", "SET NX PX", goals[0], cpu(each, "lock.acquire", acquire), cpu(each, "set", set))
		b.Compare(name, "µs of server CPU", "EVALSHA of the same", goals[1], cpu(each, "lock.acquire", acquire), cpu(each, "evalsha", script))
	}
}

// lockMemory: what a held lock takes of the server's memory, with its name and its part of
// the keyspace.
func lockMemory(b *Bench, s *Server) {
	n := b.size(100_000)
	used := func(command func(name string) []string) func() float64 {
		return func() float64 {
			s.run("FLUSHALL")
			before := s.infoNumber("memory", "used_memory")
			s.load(n, 100, func(i int) []string { return command(fmt.Sprintf("lock:%08d", i)) })
			return (s.infoNumber("memory", "used_memory") - before) / float64(n)
		}
	}
	b.Compare("memory of a held lock, 13 bytes of name", "bytes", "SET NX PX", AtMost(1.3),
		used(func(name string) []string { return []string{"LOCK.ACQUIRE", name, owner, "600000"} }),
		used(func(name string) []string { return []string{"SET", name, owner, "NX", "PX", "600000"} }))
	s.run("FLUSHALL")
}

// pairsByClients: through the Go clients, one after the other by one goroutine.
func pairsByClients(b *Bench, s *Server) error {
	type pairs struct {
		took     []float64 // µs
		commands float64
		cpu      float64 // µs of the client's process and the server's
	}
	n := b.size(2000)
	var sides []side[pairs]
	add := func(name string, pair func(i int)) {
		for i := range 100 { // scripts are loaded, connections made
			pair(i)
		}
		sides = append(sides, side[pairs]{name, func() (p pairs) {
			time.Sleep(20 * time.Millisecond) // what rueidislock does behind its release is over
			before, own := s.commands(), ownCPU()
			p.cpu = s.cpuEach(n, func() { p.took = latencies(n, pair) }) + us(ownCPU()-own)/float64(n)
			p.commands = (s.commands() - before) / float64(n)
			return p
		}})
	}
	for _, l := range lockers {
		take, done := l.maker(s)
		defer done()
		add(l.name, func(i int) {
			release, err := take(bg, "free:"+strconv.Itoa(i%100))
			must(err)
			release()
		})
	}
	add("two PINGs", func(int) { do(s, "PING"); do(s, "PING") }) // the least that a client's pair can take
	results := contest(b, b.Pairs(), sides)
	for _, p := range percentiles {
		beside(b, "acquire and release by clients, "+p.name, "µs", nil, sides, results, func(r pairs) float64 { return result.Quantile(r.took, p.q) })
	}
	beside(b, "acquire and release by clients, of the client and the server", "µs of CPU", nil, sides, results, func(r pairs) float64 { return r.cpu })
	beside(b, "commands per acquire and release", "", nil, sides, results, func(r pairs) float64 { return r.commands })
	b.pairs("acquire and release by clients, one goroutine", "per s", sides[2].name, AtLeast(1.1),
		each(results[0], func(r pairs) float64 { return perSecond(r.took) }), each(results[2], func(r pairs) float64 { return perSecond(r.took) }))
	pairsByMany(b, s)
	return nil
}

// perSecond is how many there were in a second of what took so many µs, one after
// the other.
func perSecond(took []float64) float64 {
	total := 0.0
	for _, us := range took {
		total += us
	}
	return float64(len(took)) / total * 1e6
}

// pairsByMany: through one client, by twenty goroutines, each on locks of its own.
func pairsByMany(b *Bench, s *Server) {
	n := b.size(10_000)
	locks := lock.New(s.Client, lock.Options{Lease: lease})
	defer locks.Close()
	peer := redislock.New(s.Client)
	b.Closely(5, "acquire and release by clients, 20 goroutines", "per s", "redislock", AtLeast(1), func() float64 {
		return ops(n, func(i int) {
			l, err := locks.Acquire(bg, "free:"+strconv.Itoa(i%1000))
			must(err)
			must(l.Release(bg))
		})
	}, func() float64 {
		return ops(n, func(i int) {
			l, err := peer.Obtain(bg, "free:"+strconv.Itoa(i%1000), lease, nil)
			must(err)
			must(l.Release(bg))
		})
	})
}

// grantsAtExpiry: how long after a lease ended is the next in line told, seen
// from a client, whose clock began before the lease did. So it is a little more
// than the truth.
func grantsAtExpiry(b *Bench) error {
	s, err := holdfast()
	if err != nil {
		return err
	}
	defer s.Close()
	waiter := s.alone()
	defer waiter.Close()
	const lease = 20 * time.Millisecond
	for _, keys := range []int{0, 300_000} {
		s.load(keys, 100, func(i int) []string { return []string{"SET", "k" + strconv.Itoa(i), "v", "PX", "86400000"} })
		late := inTurn(b.Rounds(), func() []float64 {
			late := make([]float64, b.size(100))
			for i := range late {
				began := time.Now()
				do(s, "LOCK.ACQUIRE", "l", "a", lease.Milliseconds())
				must(waiter.Do(bg, "LOCK.ACQUIRE", "l", "b", 60000, "BLOCK", 0).Err())
				late[i] = ms(time.Since(began) - lease)
				do(s, "LOCK.RELEASE", "l", "b")
			}
			return late
		})[0]
		for _, p := range percentiles {
			var goal *result.Goal
			if p.q == 0.5 {
				goal = AtMost(2)
			}
			b.alone(fmt.Sprintf("late, among %s keys with an expiry, %s", result.Number(float64(keys)), p.name), "ms", goal,
				each(late, func(v []float64) float64 { return result.Quantile(v, p.q) })...)
		}
	}
	return nil
}
