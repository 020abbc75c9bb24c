package queue_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"
	"holdfast/queue"
)

func TestWhatMakesNoSenseIsRefusedAndSaysWhy(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	for why, o := range map[string][]queue.PublishOption{
		"Delay":     {queue.Delay(-1)},
		"choose":    {queue.Delay(1), queue.At(time.Now())},
		"Limit":     {queue.Limit(-1)},
		"an id":     {queue.Unique("", time.Hour)},
		"above 0":   {queue.Unique("id", 0)},
		"payload":   {queue.Header("payload", "x")},
		"timestamp": {queue.Header("timestamp", "0")},
	} {
		if _, err := q.Publish(s.Context(), "x", o...); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if n := s.stats(q).Length; n > 0 {
		t.Errorf("%d tasks all the same", n)
	}
}

func TestNamesAndPayloadsAreBinaryAndLarge(t *testing.T) {
	s := start(t)
	q := queue.New[[]byte](s.rdb(), "q\x00\r\n\xff", queue.Options{Codec: queue.Bytes})
	got := make(chan string, 3)
	w := run(t, queue.NewWorker(q, func(_ context.Context, t *queue.Task[[]byte]) error {
		got <- string(t.Payload) + t.Headers.Get("\x00\n")
		return nil
	}, queue.WorkerOptions{Concurrency: 1}))
	for _, payload := range []string{"", "\x00\r\n\xff", strings.Repeat("x", 8<<20)} {
		if _, err := q.Publish(s.Context(), []byte(payload), queue.Header("\x00\n", "\r\xff")); err != nil {
			t.Fatal(err)
		}
		if text := <-got; text != payload+"\r\xff" {
			t.Errorf("%d bytes arrived as %d", len(payload), len(text))
		}
	}
	w.stop()
}

// The network breaks without a word, under a worker that has tasks and waits for more.
func TestAWorkerBehindABrokenNetworkGoesOnWhenItIsMended(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr, ReadTimeout: 200 * time.Millisecond})
	t.Cleanup(func() { _ = rdb.Close() })
	c, q := newTally(), s.queue("q")
	broken := make(chan struct{})
	w := run(t, queue.NewWorker(queue.New[string](rdb, "q", queue.Options{}), func(ctx context.Context, t *queue.Task[string]) error {
		c.add(t.Payload)
		<-broken // all that is in work ends while nobody can be told
		return nil
	}, queue.WorkerOptions{Concurrency: 5, Lease: time.Hour, Logger: quiet}))
	for i := range 5 {
		s.publish(q, fmt.Sprint(i))
	}
	s.Until("all are in work", func() bool { return c.len() == 5 })
	proxy.Freeze()
	close(broken)
	for i := range 5 {
		s.publish(q, fmt.Sprint(5+i))
	}
	proxy.Thaw()
	s.empty(q)
	w.stop()
	if none, _ := c.missing(10); len(none) > 0 {
		t.Errorf("not done: %v", none)
	}
}

// A server that refuses writes for a while, because it has no replica, no memory or a full
// disk, is as good as one that is away: nothing ends.
func TestRefusalsThatPassEndNoWorker(t *testing.T) {
	s := start(t)
	q, c := s.queue("q"), newTally()
	set := func(name, value string) func() {
		return func() { s.ConfigSet(s.Context(), name, value) }
	}
	w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		if t.Try == 1 {
			return fmt.Errorf("once more")
		}
		return c.handle(ctx, t)
	}, queue.WorkerOptions{Backoff: queue.Constant(time.Millisecond), Lease: 600 * time.Millisecond, Logger: quiet}))
	for round, refusal := range []struct {
		word          string
		refuse, allow func()
	}{
		{"NOREPLICAS", set("min-replicas-to-write", "1"), set("min-replicas-to-write", "0")},
		{"OOM", set("maxmemory", "1"), set("maxmemory", "0")},
		{"MISCONF", func() { clienttest.RefuseWrites(t, s.Instance) }, func() { clienttest.AllowWrites(t, s.Instance) }},
	} {
		s.publish(q, fmt.Sprint(2*round))
		s.Until("it is done", func() bool { return c.len() == 2*round+1 })
		refusal.refuse()
		published := make(chan error, 1)
		go func() {
			_, err := q.Publish(context.Background(), fmt.Sprint(2*round+1))
			published <- err
		}()
		s.Until("the server refuses with "+refusal.word, func() bool {
			return strings.Contains(s.Info(context.Background(), "errorstats").Val(), "errorstat_"+refusal.word)
		})
		time.Sleep(700 * time.Millisecond) // longer than the lease
		refusal.allow()
		if err := <-published; err != nil {
			t.Error(err)
		}
		s.Until("it is done", func() bool { return c.len() == 2*round+2 })
	}
	s.empty(q)
	w.stop()
}
