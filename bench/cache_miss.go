package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/bench/internal/result"
)

// loadTime is what it takes to load the value.
const loadTime = 200 * time.Millisecond

// fetch gets a value by whatever recipe, loading it if it has to.
type fetch func(ctx context.Context, key string, load func() (string, error)) (string, error)

// crowd are callers who are connected, each as if it were a process, and what
// disconnects them.
type crowd func(n int) (of func(i int) fetch, leave func())

// cacheStampede: many callers miss one key together; the load takes 200 ms and
// makes 1 KB. How often is it loaded, how many requests does that take, and how
// long after the load does each caller have the value?
func cacheStampede(b *Bench) error {
	s, err := module("cachelock")
	if err != nil {
		return err
	}
	defer s.Close()
	for _, n := range []int{100, 1000, most(10_000)} {
		if b.Quick && n > 1000 {
			continue
		}
		sides := []side[outcome]{
			{"ours", func() outcome { return s.stampede(n, s.ours(5*time.Second)) }},
			{"polling every 25 ms", func() outcome { return s.stampede(n, s.polling(5*time.Second)) }},
			{"rueidisaside", func() outcome { return s.stampede(n, s.asides(10*time.Second)) }},
		}
		results := contest(b, b.Rounds(), sides)
		write := func(what, unit string, of func(outcome) float64) {
			beside(b, fmt.Sprintf("%s callers: %s", result.Number(float64(n)), what), unit, nil, sides, results, of)
		}
		write("loads", "", func(o outcome) float64 { return float64(o.loads) })
		write("requests per caller", "", func(o outcome) float64 { return o.requests / float64(n) })
		for _, p := range percentiles {
			write("wait after the load, "+p.name, "ms", func(o outcome) float64 { return result.Quantile(o.waits, p.q) })
		}
		b.alone(fmt.Sprintf("%s callers: loads, ours", result.Number(float64(n))), "", AtMost(1),
			each(results[0], func(o outcome) float64 { return float64(o.loads) })...)
		if n == 1000 {
			b.alone("1,000 callers: wait after the load, p99, ours", "ms", AtMost(20),
				each(results[0], func(o outcome) float64 { return result.Quantile(o.waits, 0.99) })...)
		}
	}
	// As programs are: several processes of many callers each. Ours is package cache.
	const n = 1000
	sides := []side[outcome]{
		{"ours", func() outcome { return s.stampede(n, s.caches) }},
		{"go-redis with singleflight", func() outcome { return s.stampede(n, s.flights) }},
	}
	results := contest(b, b.Rounds(), sides)
	name := fmt.Sprintf("1,000 callers in %d processes: ", processes)
	beside(b, name+"loads", "", nil, sides, results, func(o outcome) float64 { return float64(o.loads) })
	beside(b, name+"requests per caller", "", nil, sides, results, func(o outcome) float64 { return o.requests / n })
	beside(b, name+"wait after the load, p99", "ms", nil, sides, results, func(o outcome) float64 { return result.Quantile(o.waits, 0.99) })
	return nil
}

// outcome is what came of a stampede.
type outcome struct {
	loads    int64
	requests float64
	waits    []float64 // after the first load, in ms
}

// stampede lets n callers loose on a key that is not there.
func (s *Server) stampede(n int, connect crowd) (o outcome) {
	of, leave := connect(n)
	defer leave()
	before := s.commands()
	var loads, loaded atomic.Int64
	load := func() (string, error) {
		loads.Add(1)
		time.Sleep(loadTime)
		loaded.CompareAndSwap(0, time.Now().UnixNano())
		return body, nil
	}
	o.waits = make([]float64, n)
	together(n, func(i int) {
		got, err := of(i)(bg, "page", load)
		if err != nil || got != body {
			fail(fmt.Errorf("a caller got %d bytes, %v", len(got), err))
		}
		o.waits[i] = float64(time.Now().UnixNano()-loaded.Load()) / 1e6
	})
	o.loads, o.requests = loads.Load(), s.commands()-before
	s.run("DEL page lock:page") // not FLUSHALL, which rueidisaside 1.0.64 does not survive
	return o
}

// together runs f n times at once and waits for the last.
func together(n int, f func(i int)) {
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { <-begin; f(i) })
	}
	close(begin)
	all.Wait()
}

// crashLease is for how long a loader is alone, and how long the marker of one
// that died says that it lives.
const crashLease = 500 * time.Millisecond

var errDied = errors.New("the loader died")

// loaderCrash: the one that loads dies, with its connection. How long after its
// lease ended does another begin to load?
func loaderCrash(b *Bench) error {
	s, err := module("cachelock")
	if err != nil {
		return err
	}
	defer s.Close()
	const n = 100
	type crash struct {
		late     float64 // ms
		loads    int64
		requests float64
	}
	measure := func(connect crowd) (c crash) {
		of, leave := connect(n)
		defer leave()
		before := s.commands()
		var loads atomic.Int64
		var first, second time.Time
		load := func() (string, error) {
			switch now := time.Now(); loads.Add(1) {
			case 1:
				first = now
				return "", errDied
			case 2:
				second = now
			}
			time.Sleep(20 * time.Millisecond)
			return body, nil
		}
		together(n, func(i int) {
			if got, err := of(i)(bg, "page", load); !errors.Is(err, errDied) && (err != nil || got != body) {
				fail(fmt.Errorf("a caller got %d bytes, %v", len(got), err))
			}
		})
		c = crash{ms(second.Sub(first) - crashLease), loads.Load(), s.commands() - before}
		s.run("DEL page lock:page")
		return c
	}
	sides := []side[crash]{
		{"ours", func() crash { return measure(s.ours(crashLease)) }},
		{"polling every 25 ms", func() crash { return measure(s.polling(crashLease)) }},
		{"rueidisaside", func() crash { return measure(s.asides(crashLease)) }},
	}
	results := contest(b, b.Pairs(), sides)
	late := func(c crash) float64 { return c.late }
	beside(b, "100 callers: the next loads so long after the lease", "ms", nil, sides, results, late)
	beside(b, "100 callers: loads, the one that died included", "", nil, sides, results, func(c crash) float64 { return float64(c.loads) })
	beside(b, "100 callers: requests per caller", "", nil, sides, results, func(c crash) float64 { return c.requests / n })
	b.alone("the next loads so long after the lease, ours", "ms", AtMost(10), each(results[0], late)...)
	return nil
}
