package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"
	"holdfast/queue"
)

// span is when a handler worked on a task.
type span struct {
	task       string
	begin, end time.Time
	cause      error
}

// history is who worked on what, and when.
type history struct {
	mu    sync.Mutex
	spans []span
}

// handle works on a task until it is told to stop.
func (h *history) handle(work time.Duration) queue.Handler[string] {
	return func(ctx context.Context, t *queue.Task[string]) error {
		at := span{task: t.Payload, begin: time.Now()}
		select {
		case <-time.After(work):
		case <-ctx.Done():
			at.cause = context.Cause(ctx)
		}
		at.end = time.Now()
		h.mu.Lock()
		h.spans = append(h.spans, at)
		h.mu.Unlock()
		return at.cause
	}
}

// overlaps are pairs of spans in which one task was in work twice at one time.
func (h *history) overlaps() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, a := range h.spans {
		for _, b := range h.spans[:i] {
			if a.task == b.task && a.begin.Before(b.end) && b.begin.Before(a.end) {
				all = append(all, fmt.Sprintf("task %s from %v to %v and from %v to %v", a.task, a.begin, a.end, b.begin, b.end))
			}
		}
	}
	return all
}

func TestAWorkerThatIsCutOffEndsItsHandlersBeforeAnotherBeginsTheirTasks(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	var h history
	const lease = 2 * time.Second
	o := queue.WorkerOptions{Lease: lease, Logger: quiet}
	a := run(t, queue.NewWorker(queue.New[string](rdb, "q", queue.Options{}), h.handle(time.Minute), o))
	q := s.queue("q")
	for i := range 5 {
		s.publish(q, fmt.Sprint(i))
	}
	s.Until("all are in work", func() bool { g := s.stats(q).Groups; return len(g) == 1 && g[0].Pending == 5 })
	b := run(t, queue.NewWorker(s.queue("q"), h.handle(10*time.Millisecond), o))
	for range 3 { // partitions longer than the lease; what the first takes anew is lost again
		proxy.Freeze()
		s.Until("the other worker has done all", func() bool { st := s.stats(q); return st.Length+st.Delayed == 0 })
		proxy.Thaw()
		s.Until("the first worker is back", func() bool { return s.stats(q).Waiting == 2 })
		for i := range 5 {
			s.publish(q, fmt.Sprint(5+i, time.Now()))
		}
		s.Until("all are taken", func() bool { st := s.stats(q); return len(st.Groups) == 1 && st.Groups[0].Ready == 0 })
	}
	a.cancel()
	b.stop()
	proxy.Freeze()
	<-a.done
	proxy.Thaw()
	for _, twice := range h.overlaps() {
		t.Error(twice)
	}
	lost := 0
	for _, at := range h.spans {
		if errors.Is(at.cause, queue.ErrLost) {
			lost++
		}
	}
	if lost < 5 {
		t.Errorf("%d handlers were ended by ErrLost", lost)
	}
}

// A connection of the application's pool that the network has forgotten is no reason to lose
// a lease: each renewal has its own deadline.
func TestAConnectionThatTheNetworkHasForgottenCostsNoLease(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr, PoolSize: 4, MinIdleConns: 4})
	t.Cleanup(func() { _ = rdb.Close() })
	q := s.queue("q")
	begun := make(chan struct{})
	done := make(chan error, 1)
	run(t, queue.NewWorker(queue.New[string](rdb, "q", queue.Options{}), func(ctx context.Context, _ *queue.Task[string]) error {
		close(begun)
		select {
		case <-time.After(6 * time.Second):
		case <-ctx.Done():
		}
		done <- context.Cause(ctx)
		return nil
	}, queue.WorkerOptions{Lease: 3 * time.Second, Logger: quiet}))
	s.publish(q, "x")
	<-begun
	proxy.Forget() // as a NAT does: nothing is said, new connections work
	if err := <-done; err != nil {
		t.Errorf("the handler's context ended: %v", err)
	}
}

func TestAWorkerStopsWithinSecondsWhoeverIsAway(t *testing.T) {
	s := durable(t)
	q := s.queue("q")
	for i := range 5 {
		s.publish(q, fmt.Sprint(i))
	}
	h := func(ctx context.Context, _ *queue.Task[string]) error {
		<-ctx.Done()
		return errors.New("not done")
	}
	w := run(t, queue.NewWorker(s.queue("q"), h, queue.WorkerOptions{Concurrency: 2, Prefetch: 3, DrainTimeout: 100 * time.Millisecond, Logger: quiet}))
	s.Until("tasks are in work", func() bool { g := s.stats(q).Groups; return len(g) == 1 && g[0].Pending > 2 })
	proxy := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	frozen := run(t, queue.NewWorker(queue.New[string](rdb, "frozen", queue.Options{}), h, queue.WorkerOptions{DrainTimeout: 100 * time.Millisecond, Logger: quiet}))
	s.publish(s.queue("frozen"), "x")
	s.Until("its task is in work", func() bool { g := s.stats(s.queue("frozen")).Groups; return len(g) == 1 && g[0].Pending > 0 })
	proxy.Freeze()
	for name, r := range map[string]*running{"killed": w, "frozen": frozen} {
		if name == "killed" {
			s.Kill()
		}
		began := time.Now()
		r.cancel()
		<-r.done
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: Run returned %v after its context ended", name, took)
		}
		if name == "killed" {
			s.Restart()
		}
	}
	proxy.Thaw()
}
