package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

func init() { experiments = append(experiments, experiment{"6 queue: beside asynq", besideAsynq}) }

// silent keeps asynq from logging into the table.
type silent struct{}

func (silent) Debug(...any) {}
func (silent) Info(...any)  {}
func (silent) Warn(...any)  {}
func (silent) Error(...any) {}
func (silent) Fatal(...any) {}

// besideAsynq: the Go library people use for this, on the same server with the
// same number of workers and a handler that does nothing. Ours consumes through
// plain go-redis.
func besideAsynq(b *Bench) error {
	s, err := queueServer()
	if err != nil {
		return err
	}
	defer s.Close()
	n := b.size(20_000)
	opt := asynq.RedisClientOpt{Addr: s.Addr, PoolSize: 2 * workers}
	enqueue := func() float64 {
		s.run("FLUSHALL")
		c := asynq.NewClient(opt)
		defer c.Close()
		return ops(n, func(int) {
			if _, err := c.Enqueue(asynq.NewTask("task", []byte(payload))); err != nil {
				fail(err)
			}
		})
	}
	publish := func() float64 {
		s.run("FLUSHALL")
		return ops(n, func(int) { do(s, "TASK.PUBLISH", "s", payload) })
	}
	b.Compare("publish", "per s", "asynq", []Goal{AtLeast(1)}, publish, enqueue)

	process := func() float64 {
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
		b.Compare(fmt.Sprintf("process, %d at a time", k), "tasks per s", "asynq", []Goal{AtLeast(5)}, func() float64 {
			publish()
			return consumeAll(s, n, k)
		}, process)
	}

	// How soon an idle worker has its task: asynq's ask now and then.
	tasks := b.size(50)
	b.Compare("idle worker has its task, p99", "ms", "asynq", []Goal{AtMost(0.1)}, func() float64 {
		s.run("FLUSHALL")
		received, stop := crowd(s, 1, false)
		defer stop()
		return pickup(tasks, 20*time.Millisecond, received, func() { do(s, "TASK.PUBLISH", "s", payload) })
	}, func() float64 {
		s.run("FLUSHALL")
		received := make(chan time.Time, 1)
		stop := serveAsynq(opt, func() { received <- time.Now() })
		defer stop()
		c := asynq.NewClient(opt)
		defer c.Close()
		return pickup(tasks/5, 300*time.Millisecond, received, func() {
			if _, err := c.Enqueue(asynq.NewTask("task", []byte(payload))); err != nil {
				fail(err)
			}
		})
	})
	return nil
}

func serveAsynq(opt asynq.RedisClientOpt, handle func()) (stop func()) {
	srv := asynq.NewServer(opt, asynq.Config{Concurrency: workers, Logger: silent{}})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { handle(); return nil })); err != nil {
		fail(err)
	}
	return srv.Shutdown
}

// consumeAll has n tasks consumed and acknowledged, k at a time, and answers how
// many a second.
func consumeAll(s *Server, n, k int) float64 {
	var done atomic.Int64
	var all sync.WaitGroup
	var took time.Duration // until the last was acknowledged; the others wait a little longer
	began := time.Now()
	for i := range workers {
		all.Go(func() {
			for done.Load() < int64(n) {
				ack := []any{"TASK.ACK", "s", "g"}
				for _, e := range entries(do(s, "TASK.CONSUME", "g", fmt.Sprint("w", i), "s", k, 100, "LEASE", 60_000)) {
					ack = append(ack, e.([]any)[0])
				}
				if len(ack) > 3 {
					do(s, ack...)
					if done.Add(int64(len(ack)-3)) == int64(n) {
						took = time.Since(began)
					}
				}
			}
		})
	}
	all.Wait()
	return float64(n) / took.Seconds()
}

// pickup publishes one task after another, each to an idle worker, and answers
// the 99th percentile of how long it took in milliseconds.
func pickup(n int, apart time.Duration, received <-chan time.Time, publish func()) float64 {
	took := make([]float64, n)
	for i := range took {
		time.Sleep(apart + time.Duration(i*7%100)*time.Millisecond/10) // in step with nothing
		began := time.Now()
		publish()
		took[i] = (<-received).Sub(began).Seconds() * 1000
	}
	return quantile(took, 0.99)
}
