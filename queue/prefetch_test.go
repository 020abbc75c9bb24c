package queue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/queue"
)

// By default no task waits in a worker while another worker has nothing to do.
func TestTwentyTasksOfASecondOnThreeWorkersTakeOneSecond(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	for i := range 20 {
		s.publish(q, fmt.Sprint(i))
	}
	var done sync.WaitGroup
	done.Add(20)
	began := time.Now()
	for range 3 {
		run(t, queue.NewWorker(s.queue("q"), func(context.Context, *queue.Task[string]) error {
			time.Sleep(time.Second)
			done.Done()
			return nil
		}, queue.WorkerOptions{}))
	}
	done.Wait()
	if took := time.Since(began); took > 1800*time.Millisecond { // a task that waits for another takes two
		t.Errorf("20 tasks of one second on three workers took %v", took)
	}
}

// A worker that has learned to take many tasks ahead meets tasks that take long.
func TestTasksTakenAheadGoToIdleWorkersWhenHandlersTakeLong(t *testing.T) {
	for _, long := range []time.Duration{3 * time.Second, 10 * time.Second} {
		t.Run(long.String(), func(t *testing.T) {
			s := start(t)
			q := s.queue("q")
			var slow atomic.Bool
			var fast atomic.Int32
			begun := make(chan time.Time, 100)
			h := func(ctx context.Context, task *queue.Task[string]) error {
				if !slow.Load() {
					fast.Add(1)
					return nil
				}
				begun <- time.Now()
				select {
				case <-time.After(long):
				case <-ctx.Done():
				}
				return nil
			}
			o := queue.WorkerOptions{Concurrency: 4, DrainTimeout: -1, Logger: quiet}
			run(t, queue.NewWorker(s.queue("q"), h, o))
			const n = 2000
			for range n / 100 {
				if _, err := q.PublishBatch(s.Context(), make([]string, 100)); err != nil {
					t.Fatal(err)
				}
			}
			s.Until("the worker has learned that tasks are short", func() bool { return fast.Load() == n })
			s.empty(q)
			slow.Store(true)
			for range 2 {
				run(t, queue.NewWorker(s.queue("q"), h, o))
			}
			s.Until("all wait", func() bool { return s.stats(q).Waiting == 3 })
			published := time.Now()
			if _, err := q.PublishBatch(s.Context(), make([]string, 12)); err != nil {
				t.Fatal(err)
			}
			var last time.Time
			for range 12 {
				last = <-begun
			}
			if late := last.Sub(published); late > 2*time.Second {
				t.Errorf("the last of 12 tasks for 12 goroutines began after %v", late)
			}
			for _, g := range s.stats(q).Groups {
				if g.Ready > 0 {
					t.Errorf("%+v", g)
				}
			}
		})
	}
}

// Handing a task on is no delivery that counts: else tasks would die of waiting.
func TestAGivenBackTaskHasNotBeenDelivered(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	begun := make(chan struct{}, 10)
	for range 5 {
		s.publish(q, "x")
	}
	for range 6 {
		w := run(t, queue.NewWorker(s.queue("q"), func(ctx context.Context, _ *queue.Task[string]) error {
			begun <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}, queue.WorkerOptions{Concurrency: 1, Prefetch: 10, DrainTimeout: time.Millisecond, MaxDeliveries: 3, Logger: quiet}))
		<-begun
		s.Until("some are taken ahead", func() bool { return s.stats(q).Groups[0].Pending > 1 })
		w.cancel()
		<-w.done
	}
	if st := s.stats(q); st.Dead > 0 {
		t.Errorf("%+v", st)
	}
}
