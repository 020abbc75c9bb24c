package queue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

func TestEveryTaskIsDoneOnce(t *testing.T) {
	s := start(t)
	q, c := s.queue("q"), newTally()
	const n = 5000
	for i := range 3 {
		w := run(t, queue.NewWorker(s.queue("q"), c.handle, queue.WorkerOptions{Concurrency: 4 + i, Prefetch: 50 * i}))
		defer w.stop()
	}
	for i := 0; i < n; i += 100 {
		batch := make([]string, 100)
		for k := range batch {
			batch[k] = fmt.Sprint(i + k)
		}
		if ids, err := q.PublishBatch(s.Context(), batch); err != nil || len(ids) != 100 {
			t.Fatal(ids, err)
		}
	}
	s.empty(q)
	if none, twice := c.missing(n); len(none)+twice > 0 {
		t.Errorf("%d not done, %d twice", len(none), twice)
	}
	if acks := s.Calls("task.ack"); acks > n/2 {
		t.Errorf("%d acknowledgements for %d tasks", acks, n)
	}
}

func TestNoMoreIsTakenThanGoroutinesAndPrefetchAllow(t *testing.T) {
	s := start(t)
	for _, prefetch := range []int{-1, 1, 7} {
		name := fmt.Sprint("q", prefetch)
		q := s.queue(name)
		for range 50 {
			s.publish(q, "x")
		}
		block := make(chan struct{})
		w := run(t, queue.NewWorker(q, func(context.Context, *queue.Task[string]) error { <-block; return nil },
			queue.WorkerOptions{Concurrency: 3, Prefetch: prefetch}))
		// Half of what may be taken ahead is, before more is asked for.
		least, want := int64(3+(max(prefetch, 0)+1)/2), int64(3+max(prefetch, 0))
		pending := func() int64 {
			g := s.stats(q).Groups
			if len(g) == 0 {
				return 0
			}
			return g[0].Pending
		}
		s.Until("as many are taken as may be", func() bool { return pending() >= least })
		if n := pending(); n > want {
			t.Errorf("Prefetch %d: %d are taken", prefetch, n)
		}
		close(block)
		s.empty(q)
		w.stop()
	}
}

func TestATaskThatFailsIsTriedAgainAndThenIsDead(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var tries atomic.Int32
	w := run(t, queue.NewWorker(q, func(_ context.Context, t *queue.Task[string]) error {
		if int(tries.Add(1)) != t.Try {
			return queue.Discard(fmt.Errorf("try %d says that it is try %d", tries.Load(), t.Try))
		}
		return errors.New("no such luck")
	}, queue.WorkerOptions{Backoff: queue.Constant(time.Millisecond), MaxTries: 4, Logger: quiet}))
	s.publish(q, "x", queue.Header("tenant", "7"))
	s.Until("it is dead", func() bool { return s.stats(q).Dead == 1 })
	if tries.Load() != 4 {
		t.Errorf("tried %d times", tries.Load())
	}
	dead := s.XRange(s.Context(), "{q}:dead", "-", "+").Val()[0].Values
	if dead["reason"] != "no such luck" || dead["payload"] != `"x"` || dead["tenant"] != "7" {
		t.Errorf("the dead letter: %v", dead)
	}
	w.stop()

	c := newTally()
	w = run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{}))
	if n, err := q.Redrive(s.Context(), 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	s.Until("it is done", func() bool { return c.len() == 1 })
	s.empty(q)
	w.stop()
}

func TestErrorsSteer(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var mu sync.Mutex
	seen := map[string][]int{}
	w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		mu.Lock()
		defer mu.Unlock()
		seen[t.Payload] = append(seen[t.Payload], t.Try)
		switch {
		case t.Payload == "discard":
			return fmt.Errorf("wrapped: %w", queue.Discard(errors.New("pointless")))
		case t.Payload == "panic" && t.Try == 1:
			panic("at the disco")
		case t.Payload == "goexit" && t.Try == 1:
			runtime.Goexit()
		case t.Payload == "after" && t.Try == 1:
			return fmt.Errorf("busy: %w", queue.RetryAfter(10*time.Millisecond))
		}
		return nil
	}, queue.WorkerOptions{Backoff: queue.Constant(time.Millisecond), Concurrency: 1, Logger: quiet}))
	for _, payload := range []string{"discard", "panic", "goexit", "after"} {
		s.publish(q, payload)
	}
	s.Do(s.Context(), "XADD", "q", "*", "payload", "{") // what cannot be decoded
	s.Do(s.Context(), "XADD", "q", "*", "other", "field")
	s.Until("all have ended", func() bool { st := s.stats(q); return st.Dead == 3 && st.Length+st.Delayed == 0 })
	w.stop()
	for payload, want := range map[string]string{"discard": "[1]", "panic": "[1 2]", "goexit": "[1 2]", "after": "[1 2]"} {
		if got := fmt.Sprint(seen[payload]); got != want {
			t.Errorf("%s was tried as %s, want %s", payload, got, want)
		}
	}
}

func TestAPanicIsAFailureWithItsStack(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	run(t, queue.NewWorker(q, func(context.Context, *queue.Task[string]) error { panic("boo") },
		queue.WorkerOptions{MaxTries: 1, Logger: quiet}))
	s.publish(q, "x")
	s.Until("it is dead", func() bool { return s.stats(q).Dead == 1 })
	reason := s.XRange(s.Context(), "{q}:dead", "-", "+").Val()[0].Values["reason"].(string)
	if !strings.HasPrefix(reason, "panic: boo\n") || !strings.Contains(reason, "worker_test.go") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestALongTaskKeepsItsLease(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	o := queue.WorkerOptions{Lease: 2 * time.Second, Concurrency: 1, Prefetch: 1}
	var begun atomic.Int32
	release := make(chan struct{})
	h := func(ctx context.Context, _ *queue.Task[string]) error {
		begun.Add(1)
		select {
		case <-release:
		case <-ctx.Done():
			t.Error(context.Cause(ctx))
		}
		return nil
	}
	a := run(t, queue.NewWorker(q, h, o))
	s.publish(q, "in work")
	s.publish(q, "taken ahead")
	s.Until("both are taken", func() bool { g := s.stats(q).Groups; return len(g) == 1 && g[0].Pending == 2 })
	b := run(t, queue.NewWorker(s.queue("q"), h, o))
	before := s.Calls("task.extend")
	s.Until("the leases were renewed three times", func() bool { return s.Calls("task.extend") >= before+3 })
	if n := begun.Load(); n != 1 {
		t.Errorf("%d began", n)
	}
	close(release)
	s.empty(q)
	a.stop()
	b.stop()
	if n := begun.Load(); n != 2 {
		t.Errorf("%d began", n)
	}
}

func TestAHandlerLearnsThatItsTaskIsAnothers(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	cause := make(chan error, 1)
	w := run(t, queue.NewWorker(q, func(ctx context.Context, _ *queue.Task[string]) error {
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil
	}, queue.WorkerOptions{Lease: 300 * time.Millisecond, Logger: quiet}))
	id := s.publish(q, "x")
	s.Until("it is taken", func() bool { g := s.stats(q).Groups; return len(g) == 1 && g[0].Pending == 1 })
	if err := s.Do(s.Context(), "XCLAIM", "q", "workers", "thief", 0, id).Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-cause; !errors.Is(err, queue.ErrLost) {
		t.Error(err)
	}
	w.stop()
	if n, err := s.Do(s.Context(), "TASK.ACK", "q", "workers", id, "CONSUMER", "thief").Int(); n != 1 || err != nil {
		t.Errorf("the new owner acknowledged %d, %v", n, err)
	}
}

func TestAWorkerThatStopsFinishesWhatIsInWorkAndGivesBackTheRest(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	begun, release := make(chan string), make(chan struct{})
	for i := range 10 {
		s.publish(q, fmt.Sprint(i))
	}
	a := run(t, queue.NewWorker(q, func(_ context.Context, t *queue.Task[string]) error {
		begun <- t.Payload
		<-release
		return nil
	}, queue.WorkerOptions{Concurrency: 1, Prefetch: 9, Lease: time.Hour}))
	if first := <-begun; first != "0" {
		t.Fatal(first)
	}
	s.Until("most are taken ahead", func() bool { g := s.stats(q).Groups; return len(g) == 1 && g[0].Pending >= 6 })
	c := newTally()
	b := run(t, queue.NewWorker(s.queue("q"), c.handle, queue.WorkerOptions{Lease: time.Hour}))
	a.cancel()
	s.Until("the other has done all that was not begun", func() bool { return c.len() == 9 })
	close(release)
	a.stop()
	b.stop()
	s.empty(q)
	if n := len(s.XInfoConsumers(s.Context(), "q", "workers").Val()); n > 1 { // taskqueue:available stays
		t.Errorf("%d consumers are left", n)
	}
}

func TestAHandlerThatTakesTooLongIsInterruptedAndItsTaskGivenBack(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	begun := make(chan struct{})
	a := run(t, queue.NewWorker(q, func(ctx context.Context, _ *queue.Task[string]) error {
		close(begun)
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, queue.ErrStopped) {
			t.Error(err)
		}
		return ctx.Err()
	}, queue.WorkerOptions{Lease: time.Hour, DrainTimeout: -1}))
	s.publish(q, "0")
	<-begun
	a.cancel()
	if err := <-a.done; !errors.Is(err, queue.ErrStopped) {
		t.Error(err)
	}
	tries := make(chan int, 1)
	b := run(t, queue.NewWorker(q, func(_ context.Context, t *queue.Task[string]) error { tries <- t.Try; return nil },
		queue.WorkerOptions{Lease: time.Hour}))
	if n := <-tries; n != 1 {
		t.Errorf("the interruption counted as a failure: %d", n)
	}
	b.stop()
	s.empty(q)
}

func TestATimeoutEndsTheHandlersContext(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		if t.Try > 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}, queue.WorkerOptions{Timeout: 10 * time.Millisecond, Backoff: queue.Constant(time.Millisecond)}))
	s.publish(q, "x")
	s.empty(q)
	w.stop()
}

func TestQueuesHaveTheirTurnsByWeight(t *testing.T) {
	s := start(t)
	often, seldom := s.queue("often"), queue.New[int](s.rdb(), "seldom", queue.Options{Partitions: 3})
	const n = 300
	for i := range n {
		s.publish(often, "x")
		if _, err := seldom.Publish(s.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	var a, b, share atomic.Int32
	look := func() {
		if a.Load()+b.Load() == 200 {
			share.Store(b.Load())
		}
	}
	gate := make(chan struct{})
	var gated atomic.Int32
	wait := func() { // until both queues have been read from
		if gated.Add(1) == 1 {
			<-gate
		}
	}
	w := queue.NewWorker(often, func(context.Context, *queue.Task[string]) error {
		wait()
		a.Add(1)
		look()
		time.Sleep(time.Millisecond)
		return nil
	},
		queue.WorkerOptions{Weight: 4, Concurrency: 1, Prefetch: 100})
	queue.Also(w, seldom, func(context.Context, *queue.Task[int]) error {
		wait()
		b.Add(1)
		look()
		time.Sleep(time.Millisecond)
		return nil
	}, queue.HandlerOptions{Weight: 1})
	r := run(t, w)
	s.Until("all have been read from", func() bool {
		for _, name := range []string{"often", "{seldom:0}", "{seldom:1}", "{seldom:2}"} {
			if p, err := s.XPending(context.Background(), name, "workers").Result(); err != nil || p.Count < 3 {
				return false
			}
		}
		return true
	})
	close(gate)
	s.Until("all are done", func() bool { return a.Load()+b.Load() == 2*n })
	r.stop()
	if got := share.Load(); got < 25 || got > 60 { // 40 of the first 200
		t.Errorf("of the first 200 tasks the queue with weight 1 of 5 had %d", got)
	}
}

func TestWhatCannotWorkIsAnError(t *testing.T) {
	s := start(t, holdfasttest.WithModules())
	q := s.queue("q")
	if err := queue.NewWorker(q, newTally().handle, queue.WorkerOptions{}).Run(s.Context()); err == nil || !strings.Contains(err.Error(), "loadmodule") {
		t.Errorf("a server without the module: %v", err)
	}
	if _, err := q.Publish(s.Context(), "x"); err == nil || !strings.Contains(err.Error(), "loadmodule") {
		t.Errorf("a server without the module: %v", err)
	}
	for want, f := range map[string]func(){
		"Lease":      func() { queue.NewWorker(q, newTally().handle, queue.WorkerOptions{Lease: -1}) },
		"Handler":    func() { queue.NewWorker(q, nil, queue.WorkerOptions{}) },
		"Partitions": func() { queue.New[string](s.rdb(), "q", queue.Options{Partitions: -1}) },
		"kind": func() {
			queue.Also(queue.NewWorker(q, newTally().handle, queue.WorkerOptions{}), q, newTally().handle, queue.HandlerOptions{})
		},
	} {
		func() {
			defer func() {
				if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("options that make no sense: %v, not a word of %s", err, want)
				}
			}()
			f()
		}()
	}
	if _, err := s.queue("a}b").Publish(s.Context(), "x"); err == nil {
		t.Error("a name that admits no dead letters was accepted")
	}
}
