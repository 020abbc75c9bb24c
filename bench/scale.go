package main

import (
	"fmt"
	"time"

	"holdfast/bench/internal/result"
)

// sizes are how many there are of what a scale group is about.
func (b *Bench) sizes() []int {
	if b.Quick {
		return []int{1000, 10_000, 100_000}
	}
	return []int{1000, 10_000, 100_000, 1_000_000}
}

// grown is a server with so many.
type grown struct {
	*Server
	n     int
	bytes float64 // each, of the server's books and Go's
}

// grow starts a server for each size and puts so many into it.
func (b *Bench) grow(name string, put func(s *Server, n int)) (all []grown, stop func(), err error) {
	stop = func() {
		for _, g := range all {
			g.Close()
		}
	}
	for _, n := range b.sizes() {
		s, err := module(name)
		if err != nil {
			stop()
			return nil, nil, err
		}
		before := rss(s.PID())
		put(s, n)
		all = append(all, grown{s, n, (rss(s.PID()) - before) / float64(n)})
	}
	return all, stop, nil
}

// scale writes the memory of each, and what the commands cost at each size beside
// what they cost among a thousand. The goals, by command and for memory, are for a
// million.
func (b *Bench) scale(what string, all []grown, goals map[string]*result.Goal, costs func(g grown) map[string]float64, commands ...string) {
	runs := make([]func() map[string]float64, len(all))
	goal := func(of string, n int) *result.Goal {
		if n < 1_000_000 {
			return nil // what an empty table takes would count among few
		}
		return goals[of]
	}
	for i, g := range all {
		b.alone(fmt.Sprintf("memory of each of %s %s", result.Number(float64(g.n)), what), "bytes resident", goal("memory", g.n), g.bytes)
		runs[i] = func() map[string]float64 { return costs(g) }
	}
	results := inTurn(b.Pairs(), runs...)
	for _, command := range commands {
		of := func(m map[string]float64) float64 { return m[command] }
		b.alone(fmt.Sprintf("%s among 1,000 %s", command, what), "µs of server CPU", nil, each(results[0], of)...)
		for i, g := range all[1:] {
			b.pairs(fmt.Sprintf("%s among %s %s", command, result.Number(float64(g.n)), what), "µs of server CPU", "1,000", goal(command, g.n), each(results[i+1], of), each(results[0], of))
		}
	}
}

// scaleLocks: held locks. What fits the processor's caches is cheaper; what SET NX
// PX costs on the same servers says how much of it that is.
func scaleLocks(b *Bench) error {
	all, stop, err := b.grow("distlock", func(s *Server, n int) {
		s.load(n, 100, func(i int) []string { return []string{"LOCK.ACQUIRE", page(i), owner, "86400000"} })
	})
	if err != nil {
		return err
	}
	defer stop()
	n := b.size(50_000)
	b.scale("locks", all, map[string]*result.Goal{}, func(g grown) map[string]float64 {
		costs := map[string]float64{}
		for _, c := range []struct {
			command, stat string
			words         []string
		}{
			{"LOCK.ACQUIRE", "lock.acquire", []string{"LOCK.ACQUIRE", "", owner, "600000"}},
			{"LOCK.RELEASE", "lock.release", []string{"LOCK.RELEASE", "", owner}},
			{"SET NX PX", "set", []string{"SET", "", owner, "NX", "PX", "600000"}},
			{"DEL", "del", []string{"DEL", ""}},
		} {
			g.resetStats()
			g.load(n, 100, func(i int) []string { c.words[1] = page(2_000_000 + i); return c.words })
			costs[c.command] = g.cpuPerCall(c.stat)
		}
		return costs
	}, "LOCK.ACQUIRE", "LOCK.RELEASE", "SET NX PX")

	// A million other keys: the caches are as cold, only the locks are few.
	few, err := module("distlock")
	if err != nil {
		return err
	}
	defer few.Close()
	million := all[len(all)-1]
	few.load(1000, 100, func(i int) []string { return []string{"LOCK.ACQUIRE", page(i), owner, "86400000"} })
	few.load(million.n-1000, 100, func(i int) []string { return []string{"SET", page(1000 + i), owner, "PX", "86400000"} })
	acquire := func(s *Server) func() float64 {
		return func() float64 {
			s.resetStats()
			s.load(n, 100, func(i int) []string { return []string{"LOCK.ACQUIRE", page(2_000_000 + i), owner, "600000"} })
			v := s.cpuPerCall("lock.acquire")
			s.load(n, 100, func(i int) []string { return []string{"LOCK.RELEASE", page(2_000_000 + i), owner} })
			return v
		}
	}
	b.Compare(fmt.Sprintf("LOCK.ACQUIRE among %s locks", result.Number(float64(million.n))), "µs of server CPU",
		"1,000 and as many other keys", AtMost(1.3), acquire(million.Server), acquire(few))
	return nil
}

// scaleLeases: leases of cache keys that are being loaded.
func scaleLeases(b *Bench) error {
	all, stop, err := b.grow("cachelock", func(s *Server, n int) {
		s.load(n, 100, func(i int) []string { return []string{"CACHE.LOCK", page(i), "6000000", "6000000"} })
	})
	if err != nil {
		return err
	}
	defer stop()
	for _, g := range all {
		held := (g.infoNumber("cachelock", "cachelock_lease_bytes")) / float64(g.n)
		b.alone(fmt.Sprintf("of that held, of each of %s leases", result.Number(float64(g.n))), "bytes", nil, held)
	}
	n := b.size(50_000)
	b.scale("leases", all, map[string]*result.Goal{"CACHE.LOCK": AtMost(1.3), "memory": AtMost(200)}, func(g grown) map[string]float64 {
		g.resetStats()
		g.load(n, 100, func(i int) []string { return []string{"CACHE.LOCK", page(2_000_000 + i), "6000000", "6000000"} })
		g.load(n, 100, func(i int) []string { return []string{"CACHE.DEL", page(2_000_000 + i)} })
		return map[string]float64{"CACHE.LOCK": g.cpuPerCall("cache.lock"), "CACHE.DEL": g.cpuPerCall("cache.del")}
	}, "CACHE.LOCK", "CACHE.DEL")
	return nil
}

// scaleTasks: as many delayed as pending.
func scaleTasks(b *Bench) error {
	later := fmt.Sprint(time.Now().Add(24 * time.Hour).UnixMilli())
	all, stop, err := b.grow("taskqueue", func(s *Server, n int) {
		s.load(n, 1000, func(int) []string { return []string{"TASK.PUBLISH", "s", payload, "AT", later} })
		s.load(n, 1000, func(int) []string { return []string{"TASK.PUBLISH", "s", payload} })
		s.load((n+999)/1000, 1, func(int) []string {
			return []string{"TASK.CONSUME", "g", "busy", "s", "1000", "LEASE", "36000000"}
		})
	})
	if err != nil {
		return err
	}
	defer stop()
	for _, g := range all {
		g.run("CONFIG SET slowlog-log-slower-than 10000")
		g.run("SLOWLOG RESET")
	}
	n := b.size(3000)
	goal := AtMost(1.3)
	b.scale("delayed and as many pending", all, map[string]*result.Goal{"TASK.PUBLISH": goal, "TASK.CONSUME": goal, "TASK.ACK": goal},
		func(g grown) map[string]float64 {
			cycle := func(publish []any, take []any, ack ...[]any) {
				do(g.Server, publish...)
				id := entries(do(g.Server, take...))[0].([]any)[0]
				for _, a := range ack {
					do(g.Server, append(a, id)...)
				}
			}
			g.resetStats()
			for range n {
				cycle([]any{"TASK.PUBLISH", "s", payload}, []any{"TASK.CONSUME", "g", "w", "s", 1, 0, "LEASE", 36_000_000}, []any{"TASK.ACK", "s", "g"})
			}
			costs := map[string]float64{"TASK.PUBLISH": g.cpuPerCall("task.publish"), "TASK.CONSUME": g.cpuPerCall("task.consume"), "TASK.ACK": g.cpuPerCall("task.ack")}
			g.resetStats()
			for range n {
				cycle(append([]any{"XADD", "s", "*"}, entry...), []any{"XREADGROUP", "GROUP", "g", "w", "COUNT", 1, "STREAMS", "s", ">"}, []any{"XACK", "s", "g"}, []any{"XDEL", "s"})
			}
			costs["XADD"], costs["XREADGROUP"], costs["XACK"] = g.cpuPerCall("xadd"), g.cpuPerCall("xreadgroup"), g.cpuPerCall("xack")
			return costs
		}, "TASK.PUBLISH", "TASK.CONSUME", "TASK.ACK", "XADD", "XREADGROUP", "XACK")
	million := all[len(all)-1].Server
	do(million, "TASK.CONSUME", "g", "walker", "s", 1, 3000, "LEASE", 35_000_000) // has the whole list walked
	b.alone("commands above 10 ms, with as many as there are", "", AtMost(0), float64(do(million, "SLOWLOG", "LEN").(int64)))
	return nil
}

// scaleWaiters: what one who waits costs the server beyond a client that is blocked
// by a module in C, and beyond one in BLPOP. Each needs a connection, so the limit
// on open files bounds how many there can be here.
func scaleWaiters(b *Bench) error {
	c, err := buildC()
	if err != nil {
		return err
	}
	type way struct {
		name    string
		command func(i int) []string
	}
	resident := func(n int, w way) func() float64 {
		return func() float64 {
			s, err := holdfast("--maxclients", "19900", "--loadmodule", c)
			must(err)
			s.run("CONFIG SET cachelock.max-waiters 100000")
			for i := range n / 10 {
				s.run(fmt.Sprintf("LOCK.ACQUIRE lock:%d holder 86400000", i))
				s.run(fmt.Sprintf("CACHE.LOCK page:%d 60000000 60000000", i))
				s.run(fmt.Sprintf("XGROUP CREATE stream:%d g $ MKSTREAM", i))
			}
			before := rss(s.PID())
			leave := s.park(n, w.command)
			more := (rss(s.PID()) - before) / float64(n)
			s.Close()
			leave()
			return more
		}
	}
	for _, n := range []int{1000, most(20_000)} {
		count := result.Number(float64(n))
		name := func(kind string, i int) string { return fmt.Sprintf("%s:%d", kind, i%(n/10)) }
		ways := []way{
			{"LOCK.ACQUIRE", func(i int) []string {
				return []string{"LOCK.ACQUIRE", name("lock", i), "owner-" + fmt.Sprint(i), "60000", "BLOCK", "0"}
			}},
			{"CACHE.FETCH", func(i int) []string { return []string{"CACHE.FETCH", name("page", i), "60000", "60000", "BLOCK", "0"} }},
			{"TASK.CONSUME", func(i int) []string {
				return []string{"TASK.CONSUME", "g", "c" + fmt.Sprint(i), name("stream", i), "1", "0"}
			}},
			{"a client blocked in C", func(int) []string { return []string{"CNOOP.BLOCK"} }},
			{"BLPOP", func(i int) []string { return []string{"BLPOP", name("list", i), "0"} }},
		}
		runs := make([]func() float64, len(ways))
		for i, w := range ways {
			runs[i] = resident(n, w)
		}
		results := inTurn(b.Rounds(), runs...)
		for i, w := range ways[:3] {
			b.pairs(fmt.Sprintf("each of %s waiters in %s", count, w.name), "bytes resident", "BLPOP", nil, results[i], results[4])
			more := make([]float64, len(results[i]))
			for k := range more {
				more[k] = results[i][k] - results[3][k]
			}
			// Among few, what is there once for all of them is most of it; and a consumer
			// keeps two names of its own.
			var goal *result.Goal
			if n > 1000 && w.name != "TASK.CONSUME" {
				goal = AtMost(1024)
			}
			b.alone(fmt.Sprintf("of that ours, with %s waiters in %s", count, w.name), "bytes above a client blocked in C", goal, more...)
		}
	}
	return nil
}
