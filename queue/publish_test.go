package queue_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

func TestATaskArrivesAsItWasPublished(t *testing.T) {
	s := start(t)
	type mail struct{ To, Text string }
	q := queue.New[mail](s.rdb(), "mail", queue.Options{})
	got := make(chan *queue.Task[mail], 10)
	h := func(ctx context.Context, t *queue.Task[mail]) error {
		t.Headers["trace"] = queue.Traceparent(ctx)
		got <- t
		return nil
	}
	w := run(t, queue.NewWorker(q, h, queue.WorkerOptions{Concurrency: 1}))
	ctx := queue.WithTraceparent(s.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	id, err := q.Publish(ctx, mail{"ann", "hello"}, queue.Header("tenant", "7"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := q.PublishBatch(ctx, []mail{{"ben", "1"}, {"cem", "2"}}) // with headers: a transaction
	if err != nil || len(ids) != 2 {
		t.Fatal(ids, err)
	}
	a := <-got
	if a.ID != id || a.Stream != "mail" || a.Payload != (mail{"ann", "hello"}) || a.Headers.Get("tenant") != "7" || a.Try != 1 {
		t.Errorf("%+v", a)
	}
	if age := time.Since(a.Published); age < 0 || age > time.Minute {
		t.Errorf("published %v ago", age)
	}
	b, c := <-got, <-got
	if b.ID != ids[0] || c.ID != ids[1] || c.Payload.To != "cem" {
		t.Errorf("%+v %+v", b, c)
	}
	for _, task := range []*queue.Task[mail]{a, b, c} {
		if task.Headers["trace"] != queue.Traceparent(ctx) {
			t.Errorf("the trace is %q", task.Headers["trace"])
		}
	}
	w.stop()
}

func TestDelayedUniqueAndTooMany(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	later := s.publish(q, "later", queue.Delay(time.Hour))
	s.publish(q, "then", queue.At(time.Now().Add(time.Hour)))
	if ok, err := q.Cancel(s.Context(), later); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := q.Cancel(s.Context(), later); ok || err != nil {
		t.Error("cancelled twice", err)
	}
	a, b := s.publish(q, "x", queue.Unique("id", time.Hour)), s.publish(q, "y", queue.Unique("id", time.Hour))
	if a != b {
		t.Errorf("%s and %s of one unique id", a, b)
	}
	if _, err := q.Publish(s.Context(), "z", queue.Limit(1)); !errors.Is(err, queue.ErrFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	if ids, err := q.PublishBatch(s.Context(), []string{"u", "v"}, queue.Limit(2)); !errors.Is(err, queue.ErrFull) || len(ids) != 2 || ids[0] == "" || ids[1] != "" {
		t.Errorf("a batch beyond the limit: %v %v", ids, err)
	}
	if st := s.stats(q); st.Length != 2 || st.Delayed != 1 {
		t.Errorf("%+v", st)
	}
	if _, err := q.Publish(s.Context(), "z", queue.Delay(1), queue.At(time.Now())); err == nil {
		t.Error("Delay and At were accepted together")
	}
}

func TestAPausedQueueHandsOutNothing(t *testing.T) {
	s := start(t)
	q, c := s.queue("q"), newTally()
	if err := q.Pause(s.Context()); err != nil {
		t.Fatal(err)
	}
	w := run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{}))
	s.publish(q, "x")
	s.Until("the worker waits", func() bool { return s.stats(q).Waiting == 1 })
	if st := s.stats(q); !st.Paused || st.Length != 1 || c.len() != 0 {
		t.Errorf("%+v, %d done", st, c.len())
	}
	if err := q.Resume(s.Context()); err != nil {
		t.Fatal(err)
	}
	s.empty(q)
	w.stop()
}

func TestPartitionsShareTheWork(t *testing.T) {
	s := start(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2})
	defer rdb.Close()
	q, c := queue.New[string](rdb, "q", queue.Options{Partitions: 3}), newTally()
	for i := range 30 {
		s.publish(q, fmt.Sprint(i))
	}
	for i := range 3 {
		if n := s.XLen(s.Context(), fmt.Sprintf("{q:%d}", i)).Val(); n != 10 {
			t.Errorf("%d tasks in partition %d", n, i)
		}
	}
	for range 5 {
		s.publish(q, "30", queue.Unique("30", time.Hour))
	}
	later := s.publish(q, "31", queue.Delay(time.Hour))
	if ok, err := q.Cancel(s.Context(), later); !ok || err != nil {
		t.Error(ok, err)
	}
	if st := s.stats(q); st.Length != 31 {
		t.Errorf("%+v", st)
	}
	w := run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{}))
	s.empty(q)
	w.stop()
	if none, twice := c.missing(31); len(none)+twice > 0 {
		t.Errorf("not done: %v, twice: %d", none, twice)
	}
}

// deaf is a client whose connections break behind the next commands they send.
func (s *server) deaf(lose *atomic.Int32) *redis.Client {
	var d net.Dialer
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		return &deafConn{Conn: c, lose: lose}, err
	}})
	s.T.Cleanup(func() { _ = c.Close() })
	return c
}

type deafConn struct {
	net.Conn
	lose *atomic.Int32
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.lose.Load() > 0 && c.lose.Add(-1) >= 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func TestALostReplyAddsATaskTwiceOnlyIfNobodyIsTold(t *testing.T) {
	s := start(t)
	var lose atomic.Int32
	q := queue.New[string](s.deaf(&lose), "q", queue.Options{})
	s.publish(q, "0")
	lose.Store(1)
	if _, err := q.Publish(s.Context(), "1"); err == nil {
		t.Error("a lost reply was no error")
	}
	s.Until("it arrived", func() bool { return s.stats(s.queue("q")).Length == 2 })
	lose.Store(1)
	s.publish(q, "2", queue.Unique("2", time.Hour))
	if n := s.stats(q).Length; n != 3 || lose.Load() > 0 {
		t.Errorf("%d tasks", n)
	}
}

func TestPublishingRidesOutAnOutage(t *testing.T) {
	s := start(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	q := s.queue("q")
	s.publish(q, "0")
	s.Kill()
	var done sync.WaitGroup
	done.Go(func() { s.publish(q, "1") })
	s.Restart()
	done.Wait()
	if n := s.stats(q).Length; n != 2 {
		t.Errorf("%d tasks", n)
	}
	s.Kill()
	q = queue.New[string](s.rdb(), "q", queue.Options{Outage: time.Millisecond})
	if _, err := q.Publish(s.Context(), "x"); err == nil {
		t.Error("published to a dead server")
	}
	s.Restart()
}
