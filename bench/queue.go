package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/redisserver"
)

func init() {
	experiments = append(experiments,
		experiment{"6 queue: each command", queueCommands},
		experiment{"6 queue: who waits", queueWaiters},
		experiment{"6 queue: later", queueDelayed},
		experiment{"6 queue: size", queueSize})
}

// queueServer starts a server with the task queue alone, and room for many clients.
func queueServer() (*Server, error) {
	all, err := redisserver.Modules()
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		if filepath.Base(path) == "taskqueue.so" {
			return start([]string{path}, "--maxclients", "12000")
		}
	}
	return nil, fmt.Errorf("no taskqueue.so among %v", all)
}

var (
	bg      = context.Background()
	payload = strings.Repeat("p", 64)
	// What an entry of TASK.PUBLISH holds, for its peers.
	entry = []any{"payload", payload, "timestamp", 1790000000, "retry_count", 0}
)

// workers is how many goroutines call through go-redis at once.
const workers = 20

// ops does n operations with go-redis and answers how many were done per second.
func ops(n int, op func(i int)) float64 {
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				op(i)
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(began).Seconds()
}

func do(s *Server, args ...any) any {
	v, err := s.Do(bg, args...).Result()
	if err != nil && err != redis.Nil {
		fail(fmt.Errorf("%v: %w", args[0], err))
	}
	return v
}

// entries are those of one stream in a reply of XREADGROUP or TASK.CONSUME.
func entries(v any) []any {
	if m, isMap := v.(map[any]any); isMap {
		for _, e := range m {
			return e.([]any)
		}
	}
	if a, _ := v.([]any); len(a) > 0 {
		return a[0].([]any)[1].([]any)
	}
	return nil
}

// fill makes a stream of n tasks with a group; read delivers them all.
func fill(s *Server, n int) (ids []any) {
	s.run("DEL s")
	for i := 0; i < n; i += 1000 {
		pipe := s.Pipeline()
		var made []*redis.StringCmd
		for range min(1000, n-i) {
			made = append(made, pipe.XAdd(bg, &redis.XAddArgs{Stream: "s", Values: entry}))
		}
		if _, err := pipe.Exec(bg); err != nil {
			fail(err)
		}
		for _, m := range made {
			ids = append(ids, m.Val())
		}
	}
	s.run("XGROUP CREATE s g 0")
	return ids
}

func deliverAll(s *Server) {
	for len(entries(do(s, "XREADGROUP", "GROUP", "g", "c", "COUNT", 1000, "STREAMS", "s", ">"))) > 0 {
	}
}

// queueCommands: publish, consume and acknowledge through go-redis, beside the
// stream commands that do the same by hand.
func queueCommands(b *Bench) error {
	s, err := queueServer()
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.size(20_000)
	b.Compare("publish", "per s", "XADD", []Goal{AtLeast(0.9)}, func() float64 {
		s.run("DEL s")
		return ops(n, func(int) { do(s, "TASK.PUBLISH", "s", payload) })
	}, func() float64 {
		s.run("DEL s")
		return ops(n, func(int) { do(s, append([]any{"XADD", "s", "*"}, entry...)...) })
	})
	for _, k := range []int{1, 10, 100} {
		b.Compare(fmt.Sprintf("consume, %d at a time", k), "tasks per s", "XREADGROUP", []Goal{AtLeast(0.9)}, func() float64 {
			fill(s, n)
			return float64(k) * ops(n/k, func(int) { do(s, "TASK.CONSUME", "g", "c", "s", k) })
		}, func() float64 {
			fill(s, n)
			return float64(k) * ops(n/k, func(int) { do(s, "XREADGROUP", "GROUP", "g", "c", "COUNT", k, "STREAMS", "s", ">") })
		})
	}
	ack := func(keep string) func() float64 {
		return func() float64 {
			s.run("CONFIG SET taskqueue.keep-acked " + keep)
			ids := fill(s, n)
			deliverAll(s)
			return ops(n, func(i int) { do(s, "TASK.ACK", "s", "g", ids[i]) })
		}
	}
	xack := func(del bool) func() float64 {
		return func() float64 {
			ids := fill(s, n)
			deliverAll(s)
			return ops(n, func(i int) {
				pipe := s.Pipeline()
				pipe.Do(bg, "XACK", "s", "g", ids[i])
				if del {
					pipe.Do(bg, "XDEL", "s", ids[i])
				}
				if _, err := pipe.Exec(bg); err != nil {
					fail(err)
				}
			})
		}
	}
	b.Compare("acknowledge and delete", "per s", "XACK and XDEL, one pipeline", []Goal{AtLeast(0.9)}, ack("no"), xack(true))
	b.Compare("acknowledge, entries kept", "per s", "XACK", []Goal{AtLeast(0.9)}, ack("yes"), xack(false))
	b.Compare("acknowledge and delete", "per s", "XACK, which deletes nothing", []Goal{AtLeast(0.9)}, ack("no"), xack(false))
	return nil
}

// crowd keeps k consumers waiting until it is closed; each receipt is told.
func crowd(s *Server, k int, native bool) (received chan time.Time, stop func()) {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: k, DisableIdentity: true})
	received = make(chan time.Time, k)
	var all sync.WaitGroup
	for i := range k {
		words := []any{"TASK.CONSUME", "g", fmt.Sprint("c", i), "s", 1, 0}
		if native {
			words = []any{"XREADGROUP", "GROUP", "g", fmt.Sprint("c", i), "COUNT", 1, "BLOCK", 0, "STREAMS", "s", ">"}
		}
		all.Go(func() {
			for c.Do(bg, words...).Err() == nil {
				received <- time.Now()
			}
		})
	}
	for s.infoNumber("clients", "blocked_clients") != float64(k) {
		time.Sleep(10 * time.Millisecond)
	}
	return received, func() { _ = c.Close(); all.Wait() }
}

// queueWaiters: what idle consumers cost, and how soon one has its task.
func queueWaiters(b *Bench) error {
	s, err := queueServer()
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.size(5_000)
	// With a PING behind it in the same write, whose reply tells how long the
	// server was busy with the task and all that it woke.
	busy := func(k int, native bool) func() float64 {
		return func() float64 {
			s.run("FLUSHALL")
			s.run("XGROUP CREATE s g 0 MKSTREAM")
			received, stop := crowd(s, k, native)
			defer stop()
			took := make([]float64, n/5)
			for i := range took {
				pipe := s.Pipeline()
				if native {
					pipe.XAdd(bg, &redis.XAddArgs{Stream: "s", Values: entry})
				} else {
					pipe.Do(bg, "TASK.PUBLISH", "s", payload)
				}
				pipe.Ping(bg)
				began := time.Now()
				if _, err := pipe.Exec(bg); err != nil {
					fail(err)
				}
				took[i] = float64(time.Since(began).Nanoseconds()) / 1000
				<-received
			}
			return stat(took).Median
		}
	}
	b.Compare("publish and PING, 1,000 wait", "µs", "XADD and PING, 1,000 wait in XREADGROUP", []Goal{AtMost(0.3)}, busy(1000, false), busy(1000, true))
	cost := func(k int) func() float64 {
		return func() float64 {
			s.run("FLUSHALL")
			received, stop := crowd(s, k, false)
			defer stop()
			s.resetStats()
			for range n {
				do(s, "TASK.PUBLISH", "s", payload)
				<-received
			}
			return s.cpuPerCall("task.publish")
		}
	}
	for _, k := range []int{1000, 10_000} {
		b.Compare(fmt.Sprintf("publish, %d wait", k), "µs of server CPU", "1 waits", []Goal{AtMost(1.2)}, cost(k), cost(1))
	}
	b.Figure("idle worker has its task, p99", "ms", []Goal{AtMost(2)}, func() float64 {
		s.run("FLUSHALL")
		received, stop := crowd(s, 1, false)
		defer stop()
		took := make([]float64, 1000)
		for i := range took {
			time.Sleep(time.Millisecond)
			began := time.Now()
			do(s, "TASK.PUBLISH", "s", payload)
			took[i] = (<-received).Sub(began).Seconds() * 1000
		}
		return quantile(took, 0.99)
	})
	return nil
}

func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[int(float64(len(s)-1)*q)]
}

// queueDelayed: how late delayed tasks are, with 100,000 of them.
func queueDelayed(b *Bench) error {
	const n = 100_000
	s, err := queueServer()
	if err != nil {
		return err
	}
	defer s.Close()
	base := time.Now().Add(5 * time.Second).UnixMilli()
	s.load(n, 1000, func(i int) []string {
		return []string{"TASK.PUBLISH", "s", payload, "AT", fmt.Sprint(base + int64(i/10))} // ten a millisecond
	})
	for s.XLen(bg, "s").Val() < n {
		time.Sleep(100 * time.Millisecond)
	}
	b.add(Row{Name: "late, p99 of 100,000", Unit: "ms", Ours: one(s.infoNumber("taskqueue", "taskqueue_lateness_p99_ms"))}, []Goal{AtMost(5)})
	b.add(Row{Name: "late, the latest", Unit: "ms", Ours: one(s.infoNumber("taskqueue", "taskqueue_lateness_max_ms"))}, nil)
	return nil
}

// queueSize: the cost among a million delayed and a million pending, beside the
// same among a thousand, and what the native commands grow by.
func queueSize(b *Bench) error {
	few, err := queueServer()
	if err != nil {
		return err
	}
	defer few.Close()
	many, err := queueServer()
	if err != nil {
		return err
	}
	defer many.Close()
	later := time.Now().Add(24 * time.Hour).UnixMilli()
	grow := func(s *Server, n int) {
		s.load(n, 1000, func(i int) []string {
			return []string{"TASK.PUBLISH", "s", payload, "AT", fmt.Sprint(later + int64(i))}
		})
		s.load(n, 1000, func(int) []string { return []string{"TASK.PUBLISH", "s", payload} })
		s.load(n/1000, 1, func(int) []string { return []string{"TASK.CONSUME", "g", "busy", "s", "1000", "LEASE", "36000000"} })
	}
	grow(few, 1000)
	grow(many, 1_000_000)
	n := b.size(20_000)
	cycle := func(s *Server, native bool) func() float64 {
		return func() float64 {
			began := s.cpuTime()
			for range n {
				if native {
					do(s, append([]any{"XADD", "s", "*"}, entry...)...)
					id := entries(do(s, "XREADGROUP", "GROUP", "g", "w", "COUNT", 1, "STREAMS", "s", ">"))[0].([]any)[0]
					do(s, "XACK", "s", "g", id)
					do(s, "XDEL", "s", id)
				} else {
					do(s, "TASK.PUBLISH", "s", payload)
					id := entries(do(s, "TASK.CONSUME", "g", "w", "s", 1, 0, "LEASE", 36000000))[0].([]any)[0]
					do(s, "TASK.ACK", "s", "g", id)
				}
			}
			return float64((s.cpuTime() - began).Microseconds()) / float64(n)
		}
	}
	const what = "with 1,000,000 delayed and pending"
	b.Compare("publish, consume, acknowledge "+what, "µs of server CPU", "with 1,000", []Goal{AtMost(1.3)}, cycle(many, false), cycle(few, false))
	b.Compare("XADD, XREADGROUP, XACK, XDEL "+what, "µs of server CPU", "with 1,000", nil, cycle(many, true), cycle(few, true))
	many.run("CONFIG SET slowlog-log-slower-than 10000")
	many.run("SLOWLOG RESET")
	cycle(many, false)()
	do(many, "TASK.CONSUME", "g", "walker", "s", 1, 3000, "LEASE", 35000000) // has the whole list walked
	b.add(Row{Name: "commands above 10 ms " + what, Unit: "", Ours: one(float64(do(many, "SLOWLOG", "LEN").(int64)))}, []Goal{AtMost(0)})
	return nil
}
