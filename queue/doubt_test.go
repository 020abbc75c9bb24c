package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"
	"holdfast/queue"
)

// behind is a client of the server whose replies can be lost.
func (s *server) behind() (*redis.Client, *clienttest.Proxy) {
	proxy := clienttest.NewProxy(s.T, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr, ReadTimeout: time.Second})
	s.T.Cleanup(func() { _ = rdb.Close() })
	return rdb, proxy
}

// bury makes dead letters.
func (s *server) bury(q *queue.Queue[string], n int) {
	s.T.Helper()
	for i := range n {
		s.publish(q, fmt.Sprint(i))
	}
	w := run(s.T, queue.NewWorker(q, func(_ context.Context, t *queue.Task[string]) error {
		return queue.Discard(fmt.Errorf("no user %s", t.Payload))
	}, queue.WorkerOptions{Logger: quiet}))
	s.Until("all are dead", func() bool { return s.stats(q).Dead == int64(n) })
	w.stop()
}

func TestALostReplyMakesRedriveBringBackNoMoreThanItSays(t *testing.T) {
	for _, way := range []string{"cut", "swallowed"} {
		t.Run(way, func(t *testing.T) {
			s := start(t)
			rdb, proxy := s.behind()
			q := queue.New[string](rdb, "q", queue.Options{})
			s.bury(q, 30)
			if way == "cut" {
				proxy.CutReplies("TASK.REDRIVE", 1)
			} else {
				proxy.SwallowReplies("TASK.REDRIVE", 1)
			}
			n, err := q.Redrive(s.Context(), 10)
			if err != nil || n != 10 {
				t.Errorf("%d came back, %v", n, err)
			}
			if st := s.stats(q); st.Dead != 20 || st.Length != 10 {
				t.Errorf("%+v", st)
			}
			ids := map[any]bool{}
			for _, e := range s.XRange(s.Context(), "q", "-", "+").Val() {
				ids[e.Values["task_id"]] = true
			}
			if len(ids) != 10 {
				t.Errorf("the tasks that came back are %v", ids)
			}
			if n, err := q.Redrive(s.Context(), 0); n != 20 || err != nil {
				t.Errorf("the rest: %d, %v", n, err)
			}
		})
	}
}

func TestALostReplyMakesCancelSayThatItDoesNotKnow(t *testing.T) {
	s := start(t)
	rdb, proxy := s.behind()
	q := queue.New[string](rdb, "q", queue.Options{})
	id := s.publish(q, "x", queue.Delay(time.Hour))
	proxy.CutReplies("TASK.CANCEL", 1)
	if was, err := q.Cancel(s.Context(), id); was || !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("%v, %v", was, err)
	}
	if n := s.stats(q).Delayed; n != 0 {
		t.Errorf("%d are delayed", n)
	}
	if was, err := q.Cancel(s.Context(), id); was || err != nil {
		t.Errorf("without a lost reply: %v, %v", was, err)
	}
	proxy.CutReplies("TASK.PUBLISH", 1)
	if _, err := q.Publish(s.Context(), "x"); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("a publication whose reply was lost: %v", err)
	}
	proxy.CutReplies("EXEC", 1)
	if _, err := q.PublishBatch(s.Context(), []string{"a", "b"}, queue.Header("tenant", "7")); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("a batch whose reply was lost: %v", err)
	}
	if n := s.stats(q).Length; n != 3 {
		t.Errorf("%d tasks, not one and two", n)
	}
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1})
	defer nobody.Close()
	q = queue.New[string](nobody, "q", queue.Options{Outage: time.Millisecond})
	if _, err := q.Publish(s.Context(), "x"); err == nil || errors.Is(err, queue.ErrUnknown) {
		t.Errorf("a publication that was never sent: %v", err)
	}
}

func TestATaskIsCancelledWhereverItIs(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	begun, cause := make(chan string), make(chan error, 1)
	w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		if t.Try == 1 && t.Payload == "fails" {
			return errors.New("no")
		}
		begun <- t.Payload
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil
	}, queue.WorkerOptions{Concurrency: 1, Prefetch: -1, Lease: time.Second, Backoff: queue.Constant(time.Hour), Logger: quiet}))
	cancel := func(id string) {
		t.Helper()
		if was, err := q.Cancel(s.Context(), id); !was || err != nil {
			t.Errorf("%v, %v", was, err)
		}
	}
	fails := s.publish(q, "fails")
	s.Until("it is to be tried again", func() bool { return s.stats(q).Delayed == 1 })
	cancel(fails)
	inWork := s.publish(q, "in work")
	<-begun
	ready := s.publish(q, "ready")
	cancel(ready)
	cancel(inWork)
	if err := <-cause; !errors.Is(err, queue.ErrLost) {
		t.Error(err)
	}
	s.empty(q)
	w.stop()
}

func TestABatchStaysOneStepWithHeaders(t *testing.T) {
	s := start(t)
	ctx := queue.WithTraceparent(s.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	q := s.queue("q")
	if ids, err := q.PublishBatch(ctx, make([]string, 50), queue.Delay(time.Hour)); err != nil || len(ids) != 50 {
		t.Fatal(ids, err)
	}
	if ids, err := q.PublishBatch(ctx, make([]string, 50)); err != nil || len(ids) != 50 || ids[49] == "" {
		t.Fatal(ids, err)
	}
	if n := s.Calls("exec"); n != 2 {
		t.Errorf("%d transactions", n)
	}
	s.Set(s.Context(), "no stream", "x", 0)
	if ids, err := s.queue("no stream").PublishBatch(ctx, make([]string, 3)); err == nil {
		t.Errorf("a batch for what is no stream: %v", ids)
	}
}

func TestADuplicateIsToldAndUniqueEndsWithItsTask(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	var was bool
	first := s.publish(q, "x", queue.UniqueUntilDone("id", time.Hour), queue.Duplicate(&was))
	if was {
		t.Error("the first is a duplicate")
	}
	if id := s.publish(q, "y", queue.UniqueUntilDone("id", time.Hour), queue.Duplicate(&was)); id != first || !was {
		t.Errorf("the second: %s, %v", id, was)
	}
	c := newTally()
	w := run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{}))
	s.empty(q)
	w.stop()
	if id := s.publish(q, "z", queue.UniqueUntilDone("id", time.Hour), queue.Duplicate(&was)); id == first || was {
		t.Errorf("after the first was done: %s, %v", id, was)
	}
	late := s.publish(q, "late", queue.Expire(time.Millisecond))
	s.Until("it has expired", func() bool { return s.stats(q).Length == 1 })
	w = run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{}))
	s.Until("it is dead", func() bool { return s.stats(q).Dead == 1 })
	w.stop()
	if r, err := queue.Inspect(s.Client).Find(s.Context(), "q", late); err != nil || r.State != queue.Dead || r.Error != "expired" {
		t.Errorf("%+v %v", r, err)
	}
}
