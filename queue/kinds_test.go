package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/queue"
)

type resize struct{ Width int }

func TestKindsShareAQueueAndAnUnknownOneIsLeftToOthers(t *testing.T) {
	s := start(t)
	numbers := queue.New[resize](s.rdb(), "q", queue.Options{Kind: "resize"})
	texts := queue.New[string](s.rdb(), "q", queue.Options{Kind: "greet"})
	plain := s.queue("q")
	got := make(chan string, 10)
	w := queue.NewWorker(numbers, func(_ context.Context, t *queue.Task[resize]) error {
		got <- fmt.Sprint(t.Kind, t.Payload.Width)
		return nil
	}, queue.WorkerOptions{Logger: quiet})
	queue.Also(w, plain, func(_ context.Context, t *queue.Task[string]) error {
		got <- t.Kind + t.Payload
		return nil
	}, queue.HandlerOptions{})
	r := run(t, w)
	if _, err := numbers.Publish(s.Context(), resize{7}); err != nil {
		t.Fatal(err)
	}
	if _, err := texts.PublishBatch(s.Context(), []string{"hello"}); err != nil {
		t.Fatal(err)
	}
	s.publish(plain, "none")
	all := []string{<-got, <-got}
	s.Until("the unknown kind is put off", func() bool { return s.stats(plain).Delayed == 1 })
	other := run(t, queue.NewWorker(texts, func(_ context.Context, t *queue.Task[string]) error {
		got <- fmt.Sprint(t.Kind, t.Payload, t.Try)
		return nil
	}, queue.WorkerOptions{Logger: quiet}))
	all = append(all, <-got)
	slices.Sort(all)
	if want := "[greethello1 none resize7]"; fmt.Sprint(all) != want {
		t.Errorf("%v, want %s", all, want)
	}
	s.empty(plain)
	r.stop()
	other.stop()
}

func TestATaskKeepsItsIDAndKnowsWhatHappened(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	seen := make(chan queue.TaskInfo, 10)
	w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		if n, err := t.Deliveries(ctx); n != 1 || err != nil {
			return queue.Discard(fmt.Errorf("%d deliveries, %v", n, err))
		}
		seen <- t.TaskInfo
		return fmt.Errorf("no %d", t.Try)
	}, queue.WorkerOptions{MaxTries: 3, Backoff: queue.Constant(time.Millisecond), Logger: quiet}))
	id := s.publish(q, "x", queue.Delay(time.Millisecond), queue.Header("tenant", "7"))
	entries := map[string]bool{}
	for try := 1; try <= 3; try++ {
		info := <-seen
		if info.ID != id || info.Try != try || info.MaxTries != 3 || info.Last() != (try == 3) || info.Headers.Get("tenant") != "7" || len(info.Headers) != 1 {
			t.Errorf("try %d: %+v", try, info)
		}
		if len(info.History) != try-1 || try > 1 && (info.Error != fmt.Sprint("no ", try-1) || info.History[try-2].Error != info.Error) {
			t.Errorf("try %d: %+v", try, info)
		}
		entries[info.Entry] = true
	}
	if len(entries) != 3 {
		t.Errorf("the entries were %v", entries)
	}
	s.Until("it is dead", func() bool { return s.stats(q).Dead == 1 })
	r, err := queue.Inspect(s.Client).Find(s.Context(), "q", id)
	if err != nil || r.State != queue.Dead || r.ID != id || r.Try != 3 || r.Error != "no 3" || len(r.History) < 2 {
		t.Errorf("%+v %v", r, err)
	}
	if n, err := q.Redrive(s.Context(), 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if info := <-seen; info.ID != id || info.Try != 1 {
		t.Errorf("redriven: %+v", info)
	}
	w.cancel()
}

func TestASnoozeIsNoTry(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var snoozed atomic.Int32
	w := run(t, queue.NewWorker(q, func(_ context.Context, t *queue.Task[string]) error {
		if t.Try != 1 || t.Error != "" {
			return queue.Discard(fmt.Errorf("try %d after %q", t.Try, t.Error))
		}
		if snoozed.Add(1) <= 5 {
			return fmt.Errorf("too early: %w", queue.Snooze(time.Millisecond))
		}
		return nil
	}, queue.WorkerOptions{MaxTries: 1, Logger: quiet}))
	s.publish(q, "x")
	s.empty(q)
	w.stop()
	if n := snoozed.Load(); n != 6 {
		t.Errorf("it was begun %d times", n)
	}
}

func TestTriesWaitsAndTimeLimitsAreSetByQueueAndByTask(t *testing.T) {
	s := start(t)
	a, b := s.queue("a"), s.queue("b")
	var mu sync.Mutex
	dead := map[string]string{}
	done := make(chan struct{}, 10)
	var waits []time.Duration
	h := func(ctx context.Context, t *queue.Task[string]) error {
		if t.Headers != nil {
			return queue.Discard(fmt.Errorf("headers %v", t.Headers))
		}
		if t.Payload == "slow" {
			<-ctx.Done()
			return ctx.Err()
		}
		return errors.New("no")
	}
	w := queue.NewWorker(a, h, queue.WorkerOptions{
		MaxTries: 2, Backoff: queue.Constant(time.Millisecond), Logger: quiet,
		OnDead: func(_ context.Context, e queue.Event) {
			mu.Lock()
			defer mu.Unlock()
			payload := e.Task.Queue + e.Err.Error()
			dead[fmt.Sprint(payload, " ", e.Task.Try)] = e.Err.Error()
			done <- struct{}{}
		},
		OnRetry: func(_ context.Context, e queue.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Task.MaxTries == 5 {
				waits = append(waits, e.In)
			}
		},
	})
	queue.Also(w, b, h, queue.HandlerOptions{MaxTries: 3, Timeout: time.Hour, Backoff: func(try int, err error) time.Duration {
		return time.Duration(try) * time.Millisecond
	}})
	run(t, w)
	s.publish(a, "x")
	s.publish(b, "x")
	s.publish(a, "slow", queue.Timeout(5*time.Millisecond), queue.MaxTries(1))
	s.publish(a, "patient", queue.MaxTries(5), queue.Backoff(8*time.Millisecond, 16*time.Millisecond))
	for range 4 {
		<-done
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"ano 2", "bno 3", "acontext deadline exceeded 1", "ano 5"} {
		if _, there := dead[want]; !there {
			t.Errorf("%q is not among %v", want, dead)
		}
	}
	for i, wait := range waits {
		least, most := 4*time.Millisecond<<min(i, 1), 8*time.Millisecond<<min(i, 1)
		if wait < least || wait > most {
			t.Errorf("after try %d it waited %v", i+1, wait)
		}
	}
	if len(waits) != 4 {
		t.Errorf("it waited %v", waits)
	}
}

func TestAPayloadThatCannotBeDecodedIsTriedAgain(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var tries atomic.Int32
	w := run(t, queue.NewWorker(queue.New[resize](s.rdb(), "q", queue.Options{}), func(context.Context, *queue.Task[resize]) error { return nil },
		queue.WorkerOptions{MaxTries: 2, Backoff: queue.Constant(time.Millisecond), Logger: quiet, OnRetry: func(context.Context, queue.Event) { tries.Add(1) }}))
	s.publish(q, "a text")
	s.Until("it is dead", func() bool { return s.stats(q).Dead == 1 })
	w.stop()
	if n := tries.Load(); n != 1 {
		t.Errorf("it was retried %d times", n)
	}
	reason := s.XRange(s.Context(), "{q}:dead", "-", "+").Val()[0].Values["reason"].(string)
	if !strings.Contains(reason, "cannot be decoded") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestEventsAndMiddlewareSeeEachTask(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var mu sync.Mutex
	var seen, retries []string // of a retry the worker tells when it is sure, and the next try may have begun
	note := func(what string) func(context.Context, queue.Event) {
		return func(_ context.Context, e queue.Event) {
			mu.Lock()
			defer mu.Unlock()
			to := &seen
			if what == "retry" {
				to = &retries
			}
			*to = append(*to, fmt.Sprint(what, " ", e.Task.Try, " ", e.Err))
		}
	}
	around := func(name string) queue.Middleware {
		return func(ctx context.Context, t *queue.TaskInfo, next func(context.Context) error) error {
			note("into "+name)(ctx, queue.Event{Task: t})
			err := next(context.WithValue(ctx, "by", name)) //nolint
			note("out of "+name)(ctx, queue.Event{Task: t, Err: err})
			return err
		}
	}
	w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		if by := ctx.Value("by"); by != "inner" {
			return queue.Discard(fmt.Errorf("by %v", by))
		}
		if t.Try == 3 {
			return nil
		}
		return errors.New("no")
	}, queue.WorkerOptions{
		Concurrency: 1, Backoff: queue.Constant(time.Millisecond), Logger: quiet, Middleware: []queue.Middleware{around("outer"), around("inner")},
		OnStart: note("start"), OnDone: note("done"), OnRetry: note("retry"), OnDead: note("dead"),
	}))
	s.publish(q, "x")
	s.empty(q)
	w.stop()
	want := []string{}
	for try := 1; try <= 3; try++ {
		err, ends := "no", []string{"out of inner", "out of outer"}
		if try == 3 {
			err, ends = "<nil>", append(ends, "done")
		}
		for _, what := range []string{"start %d <nil>", "into outer %d <nil>", "into inner %d <nil>"} {
			want = append(want, fmt.Sprintf(what, try))
		}
		for _, what := range ends {
			want = append(want, fmt.Sprintf("%s %d %s", what, try, err))
		}
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("seen %q\nwant %q", seen, want)
	}
	if fmt.Sprint(retries) != "[retry 1 no retry 2 no]" {
		t.Errorf("retries %q", retries)
	}
}

func TestABatchIsHandledTogetherAndEachOfItsTasksForItself(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var mu sync.Mutex
	var sizes []int
	h := queue.Batch(4, 200*time.Millisecond, func(_ context.Context, tasks []*queue.Task[string]) error {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(tasks))
		errs := make(queue.Errors, len(tasks))
		for i, t := range tasks {
			if t.Payload == "2" && t.Try == 1 {
				errs[i] = errors.New("not this one")
			}
		}
		return errs
	})
	for i := range 10 {
		s.publish(q, fmt.Sprint(i))
	}
	var retried atomic.Int32
	w := run(t, queue.NewWorker(q, h, queue.WorkerOptions{Concurrency: 8, Backoff: queue.Constant(time.Millisecond), Logger: quiet,
		OnRetry: func(_ context.Context, e queue.Event) { retried.Add(1) }}))
	s.empty(q)
	w.stop()
	total := 0
	for _, n := range sizes {
		total += n
		if n > 4 {
			t.Errorf("batches of %v", sizes)
		}
	}
	if total != 11 || retried.Load() != 1 || slices.Max(sizes) != 4 {
		t.Errorf("batches of %v, %d retried", sizes, retried.Load())
	}
}

func TestStrictQueuesHavePriority(t *testing.T) {
	s := start(t)
	rdb := s.rdb()
	urgent, normal := queue.New[string](rdb, "{jobs}:urgent", queue.Options{}), queue.New[string](rdb, "{jobs}:normal", queue.Options{})
	for i := range 20 {
		s.publish(normal, fmt.Sprint(i))
		s.publish(urgent, fmt.Sprint(i))
	}
	var mu sync.Mutex
	var order []string
	h := func(_ context.Context, t *queue.Task[string]) error {
		mu.Lock()
		defer mu.Unlock()
		if order = append(order, t.Queue); len(order) == 5 {
			s.publish(urgent, "late")
		}
		return nil
	}
	w := queue.NewWorker(urgent, h, queue.WorkerOptions{Strict: true, Concurrency: 1})
	queue.Also(w, normal, h, queue.HandlerOptions{})
	r := run(t, w)
	s.empty(normal)
	s.empty(urgent)
	r.stop()
	for i, name := range order {
		if (name == "{jobs}:urgent") != (i < 21) {
			t.Fatalf("the order was %v", order)
		}
	}
}
