// Package walk looks at all pages of the dashboard in a browser, as people do: it loads them, does
// every act, and takes the pictures of the documentation.
package walk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/queue"
)

// cause is why tasks of a queue failed, and how many.
type cause struct {
	queue, text string // %d is another number for each
	count       int
	since       time.Duration // of the first; the last was a tenth of that ago
}

var causes = []cause{
	{"mail", "dial tcp 10.0.4.17:587: connect: connection refused", 112, 134 * time.Minute},
	{"mail", "smtp: 550 %d mailbox unavailable: <user%d@example.com>", 31, 9 * time.Hour},
	{"mail", `template "welcome-%d" not found`, 4, 47 * time.Minute},
	{"billing", "card declined: insufficient funds (charge ch_%d)", 23, 5 * time.Hour},
	{"billing", "context deadline exceeded while awaiting headers", 9, 31 * time.Minute},
	{"images", "image: unknown format at byte %d", 6, 26 * time.Hour},
}

// shop is a server at work: queues with real workers, failures, locks with lines, loads.
type shop struct {
	rdb  *redis.Client
	stop context.CancelFunc
	work sync.WaitGroup
}

// openShop fills a server and starts its workers.
func openShop(ctx context.Context, rdb *redis.Client) (*shop, error) {
	ctx, stop := context.WithCancel(ctx)
	s := &shop{rdb: rdb, stop: stop}
	pipe := rdb.Pipeline()
	bury(ctx, pipe, causes, time.Now())
	for i := range 3700 {
		pipe.Do(ctx, "TASK.PUBLISH", "mail", payload(i))
	}
	for i := range 900 {
		pipe.Do(ctx, "TASK.PUBLISH", []string{"billing", "images"}[i%2], payload(i))
	}
	for i := range 100 {
		pipe.Do(ctx, "TASK.PUBLISH", "mail", payload(i), "DELAY", 60_000+i*10_000)
	}
	for i := range 3 {
		pipe.Do(ctx, "TASK.PUBLISH", "reports", payload(i))
	}
	pipe.Do(ctx, "TASK.PAUSE", "reports")
	pipe.Do(ctx, "CONFIG", "SET", "cachelock.stats-prefixes", "user: page: price:")
	if _, err := pipe.Exec(ctx); err != nil {
		stop()
		return nil, err
	}
	s.workers(ctx)
	s.keyed(ctx)
	s.locks(ctx)
	s.loads(ctx)
	return s, nil
}

func (s *shop) close() {
	s.stop()
	s.work.Wait()
}

func payload(i int) string {
	return fmt.Sprintf(`{"to":"ann-%d@example.com","template":"welcome","order":%d,"paid":true,"lines":[{"sku":"A-17","n":2}]}`, i, 9007199254740993+i)
}

// letter is a task that failed.
type letter struct {
	queue, text string
	at          time.Time
}

// bury adds dead letters as the server does, at times that are past.
func bury(ctx context.Context, pipe redis.Pipeliner, causes []cause, now time.Time) {
	var letters []letter
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range causes {
		for i := range c.count {
			text := c.text
			for strings.Contains(text, "%d") {
				text = strings.Replace(text, "%d", fmt.Sprint(100+random.IntN(9000)), 1)
			}
			at := now.Add(-c.since + c.since*9/10*time.Duration(i)/time.Duration(c.count))
			letters = append(letters, letter{c.queue, text, at})
		}
	}
	slices.SortStableFunc(letters, func(a, b letter) int { return a.at.Compare(b.at) })
	for i, l := range letters {
		task, tried := l.at.Add(-90*time.Second), l.at.Add(-60*time.Second)
		id := fmt.Sprintf("%d-%d", task.UnixMilli(), i)
		history := fmt.Sprintf(`[{"at":%d,"id":"%s","consumer":"web-2:26267","error":%q},{"at":%d,"id":"%s","consumer":"web-1:26240","error":%q}]`, tried.UnixMilli(), id, l.text, l.at.UnixMilli(), id, l.text)
		pipe.Do(ctx, "XADD", queue.DeadStream(l.queue, ""), fmt.Sprintf("%d-%d", l.at.UnixMilli(), i), "payload", payload(i), "timestamp", task.Unix(), "retry_count", 1,
			"task_id", id, "reason", l.text, "history", history, "origin_stream", l.queue, "origin_group", queue.DefaultGroup, "origin_consumer", "web-1:26240", "origin_id", id, "deliveries", 1, "failed_at", l.at.Unix())
	}
}

// workers do the tasks, slowly, and publish others.
func (s *shop) workers(ctx context.Context) {
	for _, name := range []string{"mail", "billing", "images"} {
		q := queue.New[map[string]any](s.rdb, name, queue.Options{})
		w := queue.NewWorker(q, func(ctx context.Context, _ *queue.Task[map[string]any]) error {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(300+rand.IntN(1200)) * time.Millisecond):
			}
			return nil
		}, queue.WorkerOptions{Concurrency: 8, Lease: 20 * time.Second, Prefetch: -1, DrainTimeout: -1, Logger: slog.New(slog.DiscardHandler)})
		s.work.Go(func() { _ = w.Run(ctx) })
		s.work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = s.rdb.Do(ctx, "TASK.PUBLISH", name, payload(i)).Err()
				select {
				case <-ctx.Done():
				case <-time.After(300 * time.Millisecond):
				}
			}
		})
	}
}

// keyed is a queue with a rule: tenants have no more than two tasks at a time, and some have long
// lines. Its tasks stay in work.
func (s *shop) keyed(ctx context.Context) {
	q := queue.New[map[string]any](s.rdb, "sync", queue.Options{})
	if q.SetRule(ctx, queue.Rule{Limit: 2}) != nil {
		return
	}
	pipe := s.rdb.Pipeline()
	for i, n := range []int{41, 17, 9, 6, 3, 2, 1, 1} {
		for range n {
			pipe.Do(ctx, "TASK.PUBLISH", "sync", payload(i), "KEY", []string{"acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "soylent"}[i])
		}
	}
	_, _ = pipe.Exec(ctx)
	w := queue.NewWorker(q, func(ctx context.Context, _ *queue.Task[map[string]any]) error {
		<-ctx.Done()
		return ctx.Err()
	}, queue.WorkerOptions{Concurrency: 6, Lease: lease, Prefetch: -1, DrainTimeout: -1, Logger: slog.New(slog.DiscardHandler)})
	s.work.Go(func() { _ = w.Run(ctx) })
}

const lease = 30 * time.Second

// hold has an owner take a lock, wait for it if need be, and keep it until the shop closes or
// somebody breaks it. then is called once the owner has the lock.
func (s *shop) hold(ctx context.Context, name, owner, meta string, then func()) {
	s.work.Go(func() {
		args := []any{"LOCK.ACQUIRE", name, owner, lease.Milliseconds(), "BLOCK", time.Hour.Milliseconds()}
		if meta != "" {
			args = append(args, "META", meta)
		}
		if s.rdb.Do(ctx, args...).Err() != nil {
			return
		}
		if then != nil {
			then()
		}
		for {
			select {
			case <-ctx.Done():
				_ = s.rdb.Do(context.WithoutCancel(ctx), "LOCK.RELEASE", name, owner).Err()
				return
			case <-time.After(lease / 3):
				if n, err := s.rdb.Do(ctx, "LOCK.EXTEND", name, owner, lease.Milliseconds()).Int(); err != nil || n == 0 {
					return
				}
			}
		}
	})
}

// locks are held and waited for; the holder of one waits for another itself.
func (s *shop) locks(ctx context.Context) {
	s.hold(ctx, "stock:4711", "web-3:2210:recount", "warehouse Kiel, shelf 12", func() {
		s.hold(ctx, "orders:import", "web-1:1804:import-7", "orders of 12:40", func() {
			s.hold(ctx, "stock:4711", "web-1:1804:import-7", "", nil)
			for i := range 5 {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
				s.hold(ctx, "orders:import", fmt.Sprintf("web-%d:%d:import-%d", 1+i%3, 1804+113*i, 8+i), fmt.Sprintf("orders of 12:%d", 45+i*2), nil)
			}
		})
	})
	for i, name := range []string{"revenue", "returns", "taxes", "churn", "stock", "payouts", "refunds", "signups", "delivery", "ratings", "coupons", "invoices"} {
		s.hold(ctx, "report:"+name, fmt.Sprintf("web-%d:%d:nightly", 1+i%3, 990+i), "", nil)
	}
}

// loads are values that are read, and loads under way that others wait for.
func (s *shop) loads(ctx context.Context) {
	users := cache.New[string](s.rdb, cache.Options{Prefix: "user:", TTL: time.Hour})
	slow := func(ctx context.Context) (string, error) {
		select {
		case <-ctx.Done():
			return "", errors.New("stopped")
		case <-time.After(20 * time.Second):
			return "9.99", nil
		}
	}
	s.work.Go(func() {
		for i := range 200 {
			_, _ = users.Fetch(ctx, fmt.Sprint(i%20), func(context.Context) (string, error) { return "ann", nil })
		}
	})
	for i := range 3 {
		for range 4 - i {
			prices := cache.New[string](s.rdb, cache.Options{Prefix: "price:", TTL: 50 * time.Millisecond})
			s.work.Go(func() {
				defer prices.Close()
				for ctx.Err() == nil {
					_, _ = prices.Fetch(ctx, fmt.Sprint("A-", i), slow)
				}
			})
		}
	}
}
