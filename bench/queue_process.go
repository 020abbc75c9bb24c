package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"holdfast/bench/internal/result"
	"holdfast/queue"
)

// queueProcess: publish, and process with twenty workers whose handler does
// nothing, beside streams read by hand and the Go library people use for this.
func queueProcess(b *Bench) error {
	s, err := module("taskqueue")
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.size(10_000)
	opt := asynq.RedisClientOpt{Addr: s.Addr, PoolSize: 2 * workers}
	publish := func() float64 {
		s.run("FLUSHALL")
		return ops(n, func(int) { do(s, "TASK.PUBLISH", "s", payload) })
	}
	enqueue := func() float64 {
		s.run("FLUSHALL")
		c := asynq.NewClient(opt)
		defer c.Close()
		return ops(n, func(int) {
			_, err := c.Enqueue(asynq.NewTask("task", []byte(payload)))
			must(err)
		})
	}
	b.Compare("publish", "per s", "asynq", AtLeast(1), publish, enqueue)

	byHand := func(k int, native bool) func() float64 {
		return func() float64 {
			fill(s, n)
			return consumeAll(s, n, k, native, true)
		}
	}
	byAsynq := func() float64 {
		enqueue()
		var done atomic.Int64
		all := make(chan struct{})
		began := time.Now()
		stop := serveAsynq(opt, func() {
			if done.Add(1) == int64(n) {
				close(all)
			}
		})
		<-all
		took := time.Since(began)
		stop()
		return float64(n) / took.Seconds()
	}
	for _, k := range []int{1, 10, 100} {
		b.Compare(fmt.Sprintf("process by hand, %d at a time", k), "tasks per s", "XREADGROUP, XACK and XDEL", AtLeast(0.9), byHand(k, false), byHand(k, true))
	}
	b.Compare("process by hand, 10 at a time", "tasks per s", "asynq", AtLeast(5), byHand(10, false), byAsynq)
	byWorkers(b, s, byAsynq)
	return nil
}

// byWorkers: the worker of the queue's client, whose handler does nothing, beside the
// loop one would write by hand. Either has as many goroutines and takes as many tasks
// at a time; either deletes what is done, or leaves it in the stream.
func byWorkers(b *Bench, s *Server, byAsynq func() float64) {
	n := b.size(50_000)
	worker := func(ahead int) func() float64 {
		return func() float64 {
			fill(s, n)
			return processAll(s, n, ahead)
		}
	}
	byHand := func(k int, remove bool) func() float64 {
		return func() float64 {
			fill(s, n)
			return consumeAll(s, n, k, true, remove)
		}
	}
	const name = "process by the client's worker"
	b.Compare(name, "tasks per s", "asynq", AtLeast(5), worker(0), byAsynq)
	b.Compare(name, "tasks per s", "XREADGROUP, XACK and XDEL by hand, 10 at a time", AtLeast(0.8), worker(0), byHand(10, true))
	b.Compare(name+", 2,000 ahead", "tasks per s", "XREADGROUP, XACK and XDEL by hand, 100 at a time", AtLeast(0.8), worker(2000), byHand(100, true))
	s.run("CONFIG SET taskqueue.keep-acked yes")
	b.Compare(name+", nothing deleted", "tasks per s", "XREADGROUP and XACK by hand, 10 at a time", AtLeast(0.8), worker(0), byHand(10, false))
}

// processAll has a worker process n tasks, and answers how many a second. Its start
// and its end, with the last acknowledgement, are part of it.
func processAll(s *Server, n, ahead int) float64 {
	ctx, stop := context.WithCancel(bg)
	var done atomic.Int64
	q := queue.New[[]byte](s.Client, "s", queue.Options{Codec: queue.Bytes})
	w := queue.NewWorker(q, func(context.Context, *queue.Task[[]byte]) error {
		if done.Add(1) == int64(n) {
			stop()
		}
		return nil
	}, queue.WorkerOptions{Concurrency: workers, Group: "g", Lease: time.Minute, Prefetch: ahead})
	began := time.Now()
	must(w.Run(ctx))
	return float64(n) / time.Since(began).Seconds()
}

// queuePickup: how soon an idle worker has its task.
func queuePickup(b *Bench) error {
	s, err := module("taskqueue")
	if err != nil {
		return err
	}
	defer s.Close()
	opt := asynq.RedisClientOpt{Addr: s.Addr, PoolSize: 2 * workers}
	// One task after the other, each to an idle worker, in step with nothing.
	pickup := func(n int, apart time.Duration, received <-chan time.Time, publish func()) []float64 {
		took := make([]float64, n)
		for i := range took {
			time.Sleep(apart + time.Duration(i*7%100)*time.Millisecond/10)
			began := time.Now()
			publish()
			took[i] = ms((<-received).Sub(began))
		}
		return took
	}
	stream := func(native bool) func() []float64 {
		words := []any{"TASK.PUBLISH", "s", payload}
		if native {
			words = append([]any{"XADD", "s", "*"}, entry...)
		}
		return func() []float64 {
			s.run("FLUSHALL")
			s.run("XGROUP CREATE s g 0 MKSTREAM")
			received, stop := idle(s, 1, native, nil)
			defer stop()
			return pickup(b.size(200), time.Millisecond, received, func() { do(s, words...) })
		}
	}
	sides := []side[[]float64]{
		{"ours", stream(false)},
		{"XADD and XREADGROUP", stream(true)},
		{"asynq", func() []float64 {
			s.run("FLUSHALL")
			received := make(chan time.Time, 1)
			stop := serveAsynq(opt, func() { received <- time.Now() })
			defer stop()
			c := asynq.NewClient(opt)
			defer c.Close()
			return pickup(b.size(10), 300*time.Millisecond, received, func() {
				_, err := c.Enqueue(asynq.NewTask("task", []byte(payload)))
				must(err)
			})
		}},
	}
	results := contest(b, b.Rounds(), sides)
	for _, p := range percentiles {
		beside(b, "an idle worker has its task, "+p.name, "ms", nil, sides, results, func(v []float64) float64 { return result.Quantile(v, p.q) })
	}
	b.alone("an idle worker has its task, p99, ours", "ms", AtMost(2), each(results[0], func(v []float64) float64 { return result.Quantile(v, 0.99) })...)
	return nil
}

// silent keeps asynq from logging into the table.
type silent struct{}

func (silent) Debug(...any) {}
func (silent) Info(...any)  {}
func (silent) Warn(...any)  {}
func (silent) Error(...any) {}
func (silent) Fatal(...any) {}

func serveAsynq(opt asynq.RedisClientOpt, handle func()) (stop func()) {
	return serveAsynqTasks(opt, func(*asynq.Task) { handle() })
}

func serveAsynqTasks(opt asynq.RedisClientOpt, handle func(*asynq.Task)) (stop func()) {
	srv := asynq.NewServer(opt, asynq.Config{Concurrency: workers, Logger: silent{}})
	must(srv.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error { handle(t); return nil })))
	return srv.Shutdown
}

// consumeAll has n tasks consumed and acknowledged, k at a time, and answers how
// many a second. The native commands remove what is done if they are to; ours do so
// by themselves.
func consumeAll(s *Server, n, k int, native, remove bool) float64 {
	var done atomic.Int64
	var all sync.WaitGroup
	var took time.Duration // until the last was acknowledged; the others wait a little longer
	began := time.Now()
	for i := range workers {
		take := []any{"TASK.CONSUME", "g", fmt.Sprint("w", i), "s", k, 100, "LEASE", 60_000}
		if native {
			take = []any{"XREADGROUP", "GROUP", "g", fmt.Sprint("w", i), "COUNT", k, "BLOCK", 100, "STREAMS", "s", ">"}
		}
		all.Go(func() {
			for done.Load() < int64(n) {
				var ids []any
				for _, e := range entries(do(s, take...)) {
					ids = append(ids, e.([]any)[0])
				}
				if len(ids) == 0 {
					continue
				}
				switch {
				case !native:
					do(s, append([]any{"TASK.ACK", "s", "g"}, ids...)...)
				case remove:
					pipe := s.Pipeline()
					pipe.Do(bg, append([]any{"XACK", "s", "g"}, ids...)...)
					pipe.Do(bg, append([]any{"XDEL", "s"}, ids...)...)
					_, err := pipe.Exec(bg)
					must(err)
				default:
					do(s, append([]any{"XACK", "s", "g"}, ids...)...)
				}
				if done.Add(int64(len(ids))) == int64(n) {
					took = time.Since(began)
				}
			}
		})
	}
	all.Wait()
	return float64(n) / took.Seconds()
}
