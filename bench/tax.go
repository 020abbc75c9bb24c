package main

import (
	"fmt"

	"holdfast/bench/internal/result"
)

// tax: what commands of no module cost with the modules loaded. First in server CPU, while
// 300 clients wait in each module, beside a server on which nobody waits; then in
// throughput, while nobody waits and while ten thousand do: for locks, values and tasks on
// the one server, in BLPOP on the other.
func tax(b *Bench) error {
	with, err := holdfast("--maxclients", "14000")
	if err != nil {
		return err
	}
	defer with.Close()
	without, err := start(nil, "--maxclients", "14000")
	if err != nil {
		return err
	}
	defer without.Close()
	const keys = 10_000
	if err := taxWhileSomeWait(b, without); err != nil {
		return err
	}
	for _, waiters := range []int{0, min(10_000, most(20_000)/2)} {
		if waiters > 0 {
			parkInModules(with, waiters)
			without.park(waiters, func(i int) []string { return []string{"BLPOP", fmt.Sprint("waited:", i%3), "0"} })
		}
		for _, words := range [][]string{{"SET", "KEY", payload}, {"GET", "KEY"}, {"DEL", "KEY"}, {"LPUSH", "list", payload}, {"XADD", "stream", "*", "f", payload}} {
			throughput := func(s *Server) func() float64 {
				return func() float64 {
					s.run("DEL list stream")
					if words[0] == "DEL" {
						s.load(keys, 100, func(i int) []string { return []string{"SET", page(i), payload} })
					}
					n := b.size(30_000)
					took := s.load(n, 100, func(i int) []string {
						if words[1] == "KEY" {
							cmd := append(make([]string, 0, 3), words...)
							cmd[1] = page(i % keys)
							return cmd
						}
						return words
					})
					return float64(n) / took.Seconds()
				}
			}
			var goal *result.Goal
			if waiters == 0 {
				goal = AtLeast(0.98)
			}
			// What is sought is small: many short runs, and two before those that count.
			v := inTurn(b.size(40)+2, throughput(with), throughput(without))
			b.pairs(fmt.Sprintf("%s, %s clients wait", words[0], result.Number(float64(waiters))), "per s", "no modules", goal, v[0][2:], v[1][2:])
		}
	}
	return nil
}

// parkInModules has so many clients wait, a third of them in each module.
func parkInModules(s *Server, waiters int) {
	s.run("LOCK.ACQUIRE lock holder 86400000")
	s.run("CACHE.LOCK page 60000000 60000000")
	s.park(waiters, func(i int) []string {
		switch i % 3 {
		case 0:
			return []string{"LOCK.ACQUIRE", "lock", fmt.Sprint("owner-", i), "60000", "BLOCK", "0"}
		case 1:
			return []string{"CACHE.FETCH", "page", "60000", "60000", "BLOCK", "0"}
		}
		return []string{"TASK.CONSUME", "g", fmt.Sprint("c", i), "tasks", "1", "0"}
	})
}

// taxWhileSomeWait measures what a write costs that has nothing to do with those who wait.
func taxWhileSomeWait(b *Bench, bare *Server) error {
	s, err := holdfast()
	if err != nil {
		return err
	}
	defer s.Close()
	parkInModules(s, 900)
	n := b.size(15_000)
	for _, write := range []struct {
		name string // DEL is measured with the SET before it
		each []string
	}{
		{"SET", []string{"SET", "k", payload}},
		{"DEL", []string{"DEL", "k"}},
		{"LPUSH", []string{"LPUSH", "list", payload}},
		{"XADD", []string{"XADD", "stream", "MAXLEN", "1000", "*", "f", payload}},
	} {
		cpu := func(s *Server) func() float64 {
			return func() float64 {
				s.run("DEL list stream")
				return s.cpuEach(n, func() {
					s.load(n, 1, func(i int) []string {
						if write.name == "DEL" && i%2 == 0 {
							return []string{"SET", "k", payload}
						}
						return write.each
					})
				})
			}
		}
		b.Closely(3, write.name+", 300 clients wait in each module", "µs of all the server's CPU", "no modules, nobody waits", AtMost(1.05), cpu(s), cpu(bare))
	}
	return nil
}
