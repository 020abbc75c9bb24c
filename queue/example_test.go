package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

// rdb is your go-redis client. The examples run against a real server.
var rdb *redis.Client

func TestMain(m *testing.M) {
	addr, stop, err := holdfasttest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rdb = redis.NewClient(&redis.Options{Addr: addr})
	code := m.Run()
	_ = rdb.Close()
	stop()
	os.Exit(code)
}

type Mail struct{ To string }

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	mails := queue.New[Mail](rdb, "mails", queue.Options{})
	if _, err := mails.Publish(ctx, Mail{To: "ann@example.com"}); err != nil {
		fmt.Println(err)
	}

	w := queue.NewWorker(mails, func(ctx context.Context, t *queue.Task[Mail]) error {
		fmt.Println("to", t.Payload.To)
		stop() // here it is enough; else a signal ends it
		return nil
	}, queue.WorkerOptions{})
	fmt.Println(w.Run(ctx))
	// Output:
	// to ann@example.com
	// <nil>
}

func ExampleQueue_Publish() {
	ctx := context.Background()
	mails := queue.New[Mail](rdb, "newsletter", queue.Options{})

	// Not before tomorrow.
	id, err := mails.Publish(ctx, Mail{"ann@example.com"}, queue.Delay(24*time.Hour))
	fmt.Println(err)
	fmt.Println(mails.Cancel(ctx, id))

	// Once an hour at most, however often it is asked for.
	a, _ := mails.Publish(ctx, Mail{"ben@example.com"}, queue.Unique("ben", time.Hour))
	b, _ := mails.Publish(ctx, Mail{"ben@example.com"}, queue.Unique("ben", time.Hour))
	fmt.Println(a == b)

	// Not if there is one already.
	_, err = mails.Publish(ctx, Mail{"cem@example.com"}, queue.Limit(1))
	fmt.Println(errors.Is(err, queue.ErrFull))
	// Output:
	// <nil>
	// true <nil>
	// true
	// true
}

// The trace that publishes a task goes on where it is done. For OpenTelemetry, whose
// carrier Headers are, give its propagator to Options.Inject and Options.Extract.
func ExampleWithTraceparent() {
	ctx, stop := context.WithCancel(context.Background())
	names := queue.New[string](rdb, "traced", queue.Options{})
	traced := queue.WithTraceparent(ctx, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	_, _ = names.Publish(traced, "Ada", queue.Header("tenant", "7"))

	w := queue.NewWorker(names, func(ctx context.Context, t *queue.Task[string]) error {
		fmt.Println(queue.Traceparent(ctx), t.Headers.Get("tenant"))
		stop()
		return nil
	}, queue.WorkerOptions{})
	fmt.Println(w.Run(ctx))
	// Output:
	// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 7
	// <nil>
}

// Several streams are one queue, {jobs:0} to {jobs:3}: in a cluster they lie on
// several nodes.
func ExampleOptions() {
	ctx, stop := context.WithCancel(context.Background())
	jobs := queue.New[int](rdb, "jobs", queue.Options{Partitions: 4})
	for i := range 4 {
		_, _ = jobs.Publish(ctx, i+1)
	}
	var sum, done atomic.Int32
	w := queue.NewWorker(jobs, func(ctx context.Context, t *queue.Task[int]) error {
		sum.Add(int32(t.Payload))
		if done.Add(1) == 4 {
			stop()
		}
		return nil
	}, queue.WorkerOptions{})
	fmt.Println(w.Run(ctx), sum.Load())
	// Output: <nil> 10
}

// What a handler returns says what becomes of its task.
func ExampleDiscard() {
	ctx, stop := context.WithCancel(context.Background())
	orders := queue.New[int](rdb, "orders", queue.Options{})
	_, _ = orders.PublishBatch(ctx, []int{1, -2})

	w := queue.NewWorker(orders, func(ctx context.Context, t *queue.Task[int]) error {
		switch {
		case t.Payload < 0:
			stop()
			return queue.Discard(errors.New("no such order"))
		case t.Try == 1:
			return queue.RetryAfter(time.Millisecond) // the others wait twice as long each time
		}
		return nil
	}, queue.WorkerOptions{Concurrency: 1, Logger: quiet})
	fmt.Println(w.Run(ctx))

	stats, err := orders.Stats(context.Background())
	fmt.Println(stats.Dead, err)
	// Output:
	// <nil>
	// 1 <nil>
}

// One worker for several queues: of nine tasks, eight are mails as long as there
// are both.
func ExampleAlso() {
	ctx, stop := context.WithCancel(context.Background())
	mails := queue.New[Mail](rdb, "often", queue.Options{})
	reports := queue.New[string](rdb, "seldom", queue.Options{})
	_, _ = reports.Publish(ctx, "March")

	w := queue.NewWorker(mails, func(ctx context.Context, t *queue.Task[Mail]) error {
		return nil
	}, queue.WorkerOptions{Weight: 8})
	queue.Also(w, reports, func(ctx context.Context, t *queue.Task[string]) error {
		fmt.Println("report for", t.Payload)
		stop()
		return nil
	}, queue.HandlerOptions{})
	fmt.Println(w.Run(ctx))
	// Output:
	// report for March
	// <nil>
}

// Middleware is around all handlers of a worker: here a span could begin and end.
func ExampleMiddleware() {
	ctx, stop := context.WithCancel(context.Background())
	names := queue.New[string](rdb, "names", queue.Options{Codec: queue.Bytes})
	_, _ = names.Publish(ctx, "Ada")

	logged := func(ctx context.Context, t *queue.TaskInfo, next func(context.Context) error) error {
		err := next(ctx)
		fmt.Println("try", t.Try, "of", t.Queue, "ended with", err)
		return err
	}
	w := queue.NewWorker(names, func(ctx context.Context, t *queue.Task[string]) error {
		fmt.Println("hello", t.Payload)
		stop()
		return nil
	}, queue.WorkerOptions{Middleware: []queue.Middleware{logged}})
	fmt.Println(w.Run(ctx))
	// Output:
	// hello Ada
	// try 1 of names ended with <nil>
	// <nil>
}

type (
	Resize struct{ Width int }
	Delete struct{ Path string }
)

// Two kinds of task share the queue pictures. A kind that a worker has no handler for
// is left to a worker that has one.
func ExampleAlso_kinds() {
	ctx, stop := context.WithCancel(context.Background())
	resize := queue.New[Resize](rdb, "pictures", queue.Options{Kind: "resize"})
	remove := queue.New[Delete](rdb, "pictures", queue.Options{Kind: "delete"})
	_, _ = resize.Publish(ctx, Resize{640})
	_, _ = remove.Publish(ctx, Delete{"a.png"})

	w := queue.NewWorker(resize, func(ctx context.Context, t *queue.Task[Resize]) error {
		fmt.Println("resize to", t.Payload.Width)
		return nil
	}, queue.WorkerOptions{Concurrency: 1})
	queue.Also(w, remove, func(ctx context.Context, t *queue.Task[Delete]) error {
		fmt.Println("delete", t.Payload.Path)
		stop()
		return nil
	}, queue.HandlerOptions{MaxTries: 3})
	fmt.Println(w.Run(ctx))
	// Output:
	// resize to 640
	// delete a.png
	// <nil>
}

// One handler for many tasks: one statement for up to a hundred rows.
func ExampleBatch() {
	ctx, stop := context.WithCancel(context.Background())
	rows := queue.New[int](rdb, "rows", queue.Options{})
	_, _ = rows.PublishBatch(ctx, []int{1, 2, 3})

	insert := queue.Batch(100, 50*time.Millisecond, func(ctx context.Context, tasks []*queue.Task[int]) error {
		fmt.Println(len(tasks), "rows")
		stop()
		return nil
	})
	fmt.Println(queue.NewWorker(rows, insert, queue.WorkerOptions{Concurrency: 200}).Run(ctx))
	// Output:
	// 3 rows
	// <nil>
}

// What an operator asks: what failed, and do it again.
func ExampleInspector() {
	ctx, stop := context.WithCancel(context.Background())
	orders := queue.New[int](rdb, "refunds", queue.Options{})
	_, _ = orders.PublishBatch(ctx, []int{17, 4})
	var dead atomic.Int32
	w := queue.NewWorker(orders, func(ctx context.Context, t *queue.Task[int]) error {
		return queue.Discard(fmt.Errorf("no order %d", t.Payload))
	}, queue.WorkerOptions{Logger: quiet, OnDead: func(context.Context, queue.Event) {
		if dead.Add(1) == 2 {
			stop()
		}
	}})
	_ = w.Run(ctx)

	inspector := queue.Inspect(rdb)
	report, err := inspector.Failures(context.Background(), "refunds", queue.SearchOptions{})
	for _, g := range report.Groups {
		fmt.Println(g.Count, g.Error)
	}
	fmt.Println(err)
	// Output:
	// 2 no order #
	// <nil>
}

// Every process runs this; one of them publishes.
func ExamplePeriodic() {
	ctx, stop := context.WithCancel(context.Background())
	reports := queue.New[string](rdb, "reports", queue.Options{})
	daily, err := queue.ParseSchedule("TZ=Europe/Berlin 0 6 * * mon-fri", nil)
	fmt.Println(err)
	fmt.Println(daily.Next(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)))

	p := queue.NewPeriodic(rdb, "periodic", queue.PeriodicOptions{})
	err = queue.Every(p, reports, "daily report", daily, func(tick time.Time) string { return tick.Format(time.DateOnly) })
	fmt.Println(err)
	time.AfterFunc(10*time.Millisecond, stop)
	fmt.Println(p.Run(ctx))
	// Output:
	// <nil>
	// 2026-11-30 06:00:00 +0100 CET
	// <nil>
	// <nil>
}
