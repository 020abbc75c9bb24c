package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"holdfast/bench/internal/result"
)

// queueKeyed: a quiet tenant behind a noisy one, a limit on what is in work at once, and
// what keys cost.
func queueKeyed(b *Bench) error {
	s, err := module("taskqueue")
	if err != nil {
		return err
	}
	defer s.Close()
	quietTenant(b, s)
	limited(b, s)
	keyedCost(b, s)
	return manyKeys(b)
}

// publishKeyed fills a stream with n tasks, whose keys are k0 … by turns. A rule of "" is
// none, and then the tasks have no keys.
func publishKeyed(s *Server, n, keys int, rule string) {
	s.run("FLUSHALL")
	s.run("XGROUP CREATE s g 0 MKSTREAM")
	if rule != "" {
		s.run("TASK.KEYS s " + rule)
	}
	s.load(n, 1000, func(i int) []string {
		words := []string{"TASK.PUBLISH", "s", payload}
		if rule != "" {
			words = append(words, "KEY", "k"+strconv.Itoa(i%keys))
		}
		return words
	})
}

// quietTenant: one tenant has published ten thousand tasks of a millisecond each, and then
// another publishes one. How long does that one wait?
func quietTenant(b *Bench, s *Server) {
	n := b.size(10_000)
	const quiet = "quiet"
	work := func() { pause(time.Millisecond) }
	ours := func(rule string) func() float64 {
		return func() float64 {
			publishKeyed(s, n, 1, rule)
			var over atomic.Bool
			var all sync.WaitGroup
			begun := make(chan time.Time, 1)
			for i := range workers {
				all.Go(func() {
					for !over.Load() {
						for _, e := range entries(do(s, "TASK.CONSUME", "g", fmt.Sprint("w", i), "s", 1, 100, "LEASE", 60_000)) {
							e := e.([]any)
							if fields := e[1].([]any); fields[1] == quiet {
								begun <- time.Now()
							}
							work()
							do(s, "TASK.ACK", "s", "g", e[0])
						}
					}
				})
			}
			time.Sleep(50 * time.Millisecond)
			published := time.Now()
			words := []any{"TASK.PUBLISH", "s", quiet}
			if rule != "" {
				words = append(words, "KEY", quiet)
			}
			do(s, words...)
			wait := ms((<-begun).Sub(published))
			over.Store(true)
			all.Wait()
			return wait
		}
	}
	opt := asynq.RedisClientOpt{Addr: s.Addr, PoolSize: 2 * workers}
	byAsynq := func() float64 {
		s.run("FLUSHALL")
		c := asynq.NewClient(opt)
		defer c.Close()
		ops(n, func(int) {
			_, err := c.Enqueue(asynq.NewTask("noisy", []byte(payload)))
			must(err)
		})
		begun := make(chan time.Time, 1)
		stop := serveAsynqTasks(opt, func(t *asynq.Task) {
			if t.Type() == quiet {
				begun <- time.Now()
			}
			work()
		})
		defer stop()
		time.Sleep(50 * time.Millisecond)
		published := time.Now()
		_, err := c.Enqueue(asynq.NewTask(quiet, nil))
		must(err)
		return ms((<-begun).Sub(published))
	}
	const name = "one task behind 10,000 of another tenant waits"
	b.Compare(name, "ms", "no rule", AtMost(0.1), ours("SHARE 4"), ours(""))
	b.Compare(name, "ms", "asynq, one queue", AtMost(0.1), ours("SHARE 4"), byAsynq)
	if err := noBullMQ(); err != nil {
		fmt.Fprintf(os.Stderr, "skipped: BullMQ, which npm ci in bench/bullmq installs: %v\n", err)
		return
	}
	b.Compare(name, "ms", "BullMQ, one queue", AtMost(0.1), ours("SHARE 4"), func() float64 { return quietInBullMQ(s, n) })
}

// limited: no more than so many in work at once, over all workers, costs little.
func limited(b *Bench, s *Server) {
	n := b.size(10_000)
	process := func(rule string) func() float64 {
		return func() float64 {
			publishKeyed(s, n, 1, rule)
			return consumeAll(s, n, 1, false, true)
		}
	}
	b.Compare("process by hand, 1 at a time, at most 20 in work", "tasks per s", "no rule", AtLeast(0.8), process("LIMIT 20"), process(""))
	b.Compare("process by hand, 1 at a time, a thousand keys, at most 1 of each", "tasks per s", "no rule", nil, func() float64 {
		publishKeyed(s, n, 1000, "LIMIT 1")
		return consumeAll(s, n, 1, false, true)
	}, process(""))
}

// keyedCost: what the commands of a keyed task cost the server, beside those of one without.
func keyedCost(b *Bench, s *Server) {
	n := b.size(20_000)
	cost := func(command, rule string) func() float64 {
		return func() float64 {
			s.resetStats()
			publishKeyed(s, n, 1000, rule)
			if command == "task.publish" {
				return s.cpuPerCall(command)
			}
			s.resetStats()
			for left := n; left > 0; {
				var ids []string
				for _, e := range entries(do(s, "TASK.CONSUME", "g", "c", "s", 1000)) {
					ids = append(ids, e.([]any)[0].(string))
				}
				left -= len(ids)
				s.load(len(ids), 100, func(i int) []string { return []string{"TASK.ACK", "s", "g", ids[i]} })
			}
			return s.cpuPerCall(command)
		}
	}
	for _, c := range []struct{ name, stat string }{{"TASK.PUBLISH", "task.publish"}, {"TASK.ACK", "task.ack"}} {
		b.Compare(c.name+" of a key with room", "µs of server CPU", "without a key", AtMost(1.5), cost(c.stat, "LIMIT 1000"), cost(c.stat, ""))
		b.Compare(c.name+" of a key that holds tasks back", "µs of server CPU", "without a key", nil, cost(c.stat, "LIMIT 1"), cost(c.stat, ""))
	}
}

// manyKeys: a million keys with one task each.
func manyKeys(b *Bench) error {
	n := b.size(1_000_000)
	memory := func(rule string) func() float64 {
		return func() float64 {
			s, err := module("taskqueue")
			must(err)
			defer s.Close()
			publishKeyed(s, 1, 1, rule)
			before := rss(s.PID())
			publishKeyed(s, n, n, rule)
			return (rss(s.PID()) - before) / float64(n)
		}
	}
	v := inTurn(1, memory("LIMIT 1"), memory(""))
	f := b.pairs(fmt.Sprintf("memory of a task, %s keys with one each", result.Number(float64(n))), "bytes resident", "without a key", nil, v[0], v[1])
	b.Above("of that the key", "bytes", nil, f)
	return nil
}
