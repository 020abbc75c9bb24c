package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/bench/internal/result"
)

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

// fill makes a stream of n tasks with a group.
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

// deliverAll has all tasks delivered.
func deliverAll(s *Server) {
	for len(entries(do(s, "XREADGROUP", "GROUP", "g", "c", "COUNT", 1000, "STREAMS", "s", ">"))) > 0 {
	}
}

// queueCommands: publish, consume and acknowledge through go-redis, beside the
// stream commands that do the same by hand.
func queueCommands(b *Bench) error {
	s, err := module("taskqueue")
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.size(5000)
	b.Closely(5, "publish", "per s", "XADD", AtLeast(0.9), func() float64 {
		s.run("DEL s")
		return ops(n, func(int) { do(s, "TASK.PUBLISH", "s", payload) })
	}, func() float64 {
		s.run("DEL s")
		return ops(n, func(int) { do(s, append([]any{"XADD", "s", "*"}, entry...)...) })
	})
	for _, k := range []int{1, 10, 100} {
		b.Closely(5, fmt.Sprintf("consume, %d at a time", k), "tasks per s", "XREADGROUP", AtLeast(0.9), func() float64 {
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
	b.Closely(5, "acknowledge and delete", "per s", "XACK and XDEL, one pipeline", AtLeast(0.9), ack("no"), xack(true))
	b.Closely(5, "acknowledge, entries kept", "per s", "XACK", AtLeast(0.9), ack("yes"), xack(false))
	b.Closely(5, "acknowledge and delete", "per s", "XACK, which deletes nothing", nil, ack("no"), xack(false))
	return nil
}

// idle keeps k consumers waiting until stop; each receipt is told. They come back at
// once, or, with a gate, when it lets them.
func idle(s *Server, k int, native bool, gate <-chan struct{}) (received chan time.Time, stop func()) {
	c := client(s.Addr, k)
	received = make(chan time.Time, k)
	over := make(chan struct{})
	var all sync.WaitGroup
	for i := range k {
		words := []any{"TASK.CONSUME", "g", fmt.Sprint("c", i), "s", 1, 0}
		if native {
			words = []any{"XREADGROUP", "GROUP", "g", fmt.Sprint("c", i), "COUNT", 1, "BLOCK", 0, "STREAMS", "s", ">"}
		}
		all.Go(func() {
			for c.Do(bg, words...).Err() == nil {
				received <- time.Now()
				if gate != nil {
					select {
					case <-gate:
					case <-over:
					}
				}
			}
		})
	}
	s.awaitBlocked(k)
	return received, func() {
		close(over)
		_ = c.Close()
		all.Wait()
		s.awaitBlocked(0)
	}
}

func (s *Server) awaitBlocked(k int) {
	for s.infoNumber("clients", "blocked_clients") != float64(k) {
		time.Sleep(10 * time.Millisecond)
	}
}

// wake is what a publish costs the server that is handed to one of k idle consumers,
// who do not come back meanwhile, and by how much that is more than where nobody is,
// in µs of all its processor time.
func (s *Server) wake(k int, native bool) (cost, more float64) {
	const batch, batches = 100, 20
	s.run("FLUSHALL")
	s.run("XGROUP CREATE s g 0 MKSTREAM")
	add := func() {
		if native {
			do(s, append([]any{"XADD", "s", "*"}, entry...)...)
		} else {
			do(s, "TASK.PUBLISH", "s", payload)
		}
	}
	alone := s.cpuEach(batches*batch, func() {
		for range batches * batch {
			add()
		}
	})
	s.run("XTRIM s MAXLEN 0")
	gate := make(chan struct{})
	received, stop := idle(s, k, native, gate)
	defer stop()
	publish := func(n int) {
		for range n {
			add()
			<-received
		}
	}
	back := func(n int) {
		for range n {
			gate <- struct{}{}
		}
		s.awaitBlocked(k)
	}
	publish(k) // by which they are known to the group
	back(k)
	for range batches {
		cost += s.cpuEach(batch, func() { publish(batch) }) / batches
		back(batch)
	}
	return cost, cost - alone
}

// queueIdle: what idle consumers cost those who publish.
func queueIdle(b *Bench) error {
	s, err := module("taskqueue")
	if err != nil {
		return err
	}
	defer s.Close()
	type woken struct{ seen, busy, publish float64 } // µs
	// With a PING behind the task in the same write, whose reply tells how long it
	// took, a round trip included. What the server was busy for is its processor time,
	// from the task to the wait of the next.
	measure := func(k int, native bool) func() woken {
		n := b.size(2000)
		if native && k > 1000 {
			n = b.size(200)
		}
		return func() woken {
			s.run("FLUSHALL")
			s.run("XGROUP CREATE s g 0 MKSTREAM")
			received, stop := idle(s, k, native, nil)
			defer stop()
			// A consumer's first task is what makes it known to the group, once; those
			// of XREADGROUP are known since they wait.
			for i := 0; i < k && !native; i++ {
				do(s, "TASK.PUBLISH", "s", payload)
				<-received
			}
			s.resetStats()
			var took []float64
			publish := func(int) {
				pipe := s.Pipeline()
				if native {
					pipe.XAdd(bg, &redis.XAddArgs{Stream: "s", Values: entry})
				} else {
					pipe.Do(bg, "TASK.PUBLISH", "s", payload)
				}
				pipe.Ping(bg)
				if _, err := pipe.Exec(bg); err != nil {
					fail(err)
				}
				<-received
			}
			w := woken{busy: s.cpuEach(n, func() { took = latencies(n, publish) })}
			w.seen = result.Quantile(took, 0.5)
			if native {
				return w
			}
			// Only when all wait again: else one consumer alone is sometimes still on its
			// way back, and to publish then is cheap.
			s.resetStats()
			for range b.size(500) {
				for s.infoNumber("clients", "blocked_clients") != float64(k) {
				}
				do(s, "TASK.PUBLISH", "s", payload)
				<-received
			}
			w.publish = s.cpuPerCall("task.publish")
			return w
		}
	}
	const crowd = 1000
	type waked struct{ cost, more float64 }
	wake := func(native bool) func() waked {
		return func() (w waked) {
			w.cost, w.more = s.wake(crowd, native)
			return w
		}
	}
	wakes := []side[waked]{{"ours", wake(false)}, {"XADD to as many in XREADGROUP", wake(true)}}
	of := ", idle consumers: " + result.Number(crowd)
	waking := contest(b, 3*b.Rounds(), wakes)
	beside(b, "the wake"+of, "µs of all the server's CPU above a publish to nobody", AtMost(0.3), wakes, waking, func(w waked) float64 { return w.more })
	beside(b, "publish and wake"+of, "µs of all the server's CPU", nil, wakes, waking, func(w waked) float64 { return w.cost })
	var one []woken
	for _, k := range []int{1, 10, 100, 1000, most(10_000)} {
		sides := []side[woken]{
			{"ours", measure(k, false)},
			{"XADD to as many in XREADGROUP", measure(k, true)},
		}
		results := contest(b, b.Rounds(), sides)
		count := result.Number(float64(k))
		beside(b, "publish, wake and wait again, idle consumers: "+count, "µs of all the server's CPU", nil, sides, results, func(w woken) float64 { return w.busy })
		beside(b, "publish, wake and PING, idle consumers: "+count, "µs, a round trip included", nil, sides, results, func(w woken) float64 { return w.seen })
		if one == nil {
			one = results[0]
		} else if k >= 1000 {
			publish := func(w woken) float64 { return w.publish }
			b.pairs("publish, idle consumers: "+count, "µs of server CPU", "1 idle consumer", AtMost(1.2), each(results[0][:len(one)], publish), each(one, publish))
		}
	}
	return nil
}

// queueDelayed: how late delayed tasks are, with 100,000 of them.
func queueDelayed(b *Bench) error {
	s, err := module("taskqueue")
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.size(100_000)
	var p99, most []float64
	for range b.Rounds() {
		s.run("FLUSHALL")
		s.resetStats()
		base := time.Now().Add(time.Duration(n)*time.Second/150_000 + time.Second).UnixMilli()
		s.load(n, 1000, func(i int) []string {
			return []string{"TASK.PUBLISH", "s", payload, "AT", fmt.Sprint(base + int64(i/50))} // fifty a millisecond
		})
		for s.XLen(bg, "s").Val() < int64(n) {
			time.Sleep(20 * time.Millisecond)
		}
		late := s.lateness(base)
		p99, most = append(p99, result.Quantile(late, 0.99)), append(most, result.Quantile(late, 1))
	}
	b.alone("late, of "+result.Number(float64(n))+" tasks, p99", "ms", AtMost(5), p99...)
	b.alone("late, the latest", "ms", nil, most...)
	return nil
}

// lateness is by how much each task was later than its time, in ms: fifty were
// due in each millisecond from base on. An entry's id says when it was added.
func (s *Server) lateness(base int64) (late []float64) {
	from := "-"
	for {
		batch, err := s.XRangeN(bg, "s", from, "+", 10_000).Result()
		must(err)
		if len(batch) == 0 {
			return late
		}
		for _, e := range batch {
			var at int64
			_, _ = fmt.Sscanf(e.ID, "%d-", &at)
			late = append(late, float64(at-base-int64(len(late)/50)))
		}
		from = "(" + batch[len(batch)-1].ID
	}
}
