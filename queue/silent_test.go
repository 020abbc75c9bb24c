package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"
	"holdfast/queue"
)

func TestNoCallOutlivesItsContextOnASilentNetwork(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	q, i := queue.New[string](rdb, "q", queue.Options{}), queue.Inspect(rdb)
	s.publish(q, "x")
	list := func(state queue.State) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := i.List(ctx, "q", queue.ListOptions{State: state})
			return err
		}
	}
	proxy.Freeze()
	for name, call := range map[string]func(context.Context) error{
		"Publish":      func(ctx context.Context) error { _, err := q.Publish(ctx, "x"); return err },
		"PublishBatch": func(ctx context.Context) error { _, err := q.PublishBatch(ctx, []string{"x", "y"}); return err },
		"Cancel":       func(ctx context.Context) error { _, err := q.Cancel(ctx, "1-1"); return err },
		"Redrive":      func(ctx context.Context) error { _, err := q.Redrive(ctx, 10); return err },
		"Pause":        func(ctx context.Context) error { return q.Pause(ctx) },
		"Stats":        func(ctx context.Context) error { _, err := q.Stats(ctx); return err },
		"Queues":       func(ctx context.Context) error { _, err := i.Queues(ctx, "", ""); return err },
		"Overviews":    func(ctx context.Context) error { _, err := i.Overviews(ctx, "", ""); return err },
		"Consumers":    func(ctx context.Context) error { _, err := i.Consumers(ctx, "q", ""); return err },
		"Find":         func(ctx context.Context) error { _, err := i.Find(ctx, "q", "1-1"); return err },
		"Ready":        list(queue.Ready),
		"InWork":       list(queue.InWork),
		"Delayed":      list(queue.Delayed),
		"Dead":         list(queue.Dead),
	} {
		ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
		cancel()
	}
}
