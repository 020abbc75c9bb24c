package queue

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"holdfast/internal/blocking"
)

// WorkerOptions say how a worker works. The zero value is a good one. All workers
// of a group must give the same Lease.
type WorkerOptions struct {
	// Backoff says how long a task that failed waits before its next try. Defaults to
	// Exponential(time.Second, 10*time.Minute).
	Backoff BackoffFunc

	// Concurrency is how many tasks are in work at a time. Defaults to 10.
	Concurrency int

	// DrainTimeout is how long a worker that stops lets handlers finish before it
	// ends their contexts. -1 is not at all. Defaults to 20 seconds.
	DrainTimeout time.Duration

	// Group is whom the worker shares the tasks with. Each group is given every task;
	// a retry, and a dead letter that is redriven, goes to its own group alone. Defaults to
	// [DefaultGroup].
	Group string

	// Lease is how long a worker that vanished keeps its tasks from the others, in
	// whole milliseconds. It is renewed while a task is in work. A worker that cannot renew
	// it in time ends the handler's context with [ErrLost]. Defaults to 30 seconds.
	Lease time.Duration

	// Logger is told of tasks that fail, of dead letters, panics, tasks that were lost or
	// finished too late, and when the server ceases to answer and answers again.
	// Defaults to slog.Default().
	Logger *slog.Logger

	// MaxDeliveries is how often a task may be delivered to workers that vanish with
	// it before it is a dead letter: it may be what ends them. A task that an orderly
	// stop gives back does not count. Defaults to 20.
	MaxDeliveries int

	// MaxTries is how often a task is tried, the first time included, before it is a
	// dead letter. Defaults to 10.
	MaxTries int

	// Middleware is called around each handler, the first outermost.
	Middleware []Middleware

	// The worker calls these functions, where they are set, from several goroutines, and waits
	// for them: OnStart before a handler begins; OnDone when it returned nil; OnRetry when
	// the server has put the task off, after a failure or a snooze; OnDead when the server
	// has made it a dead letter after a failure. A task whose deliveries are used up, or that
	// expired, is buried by the server itself: Inspect finds it among the dead.
	OnDead  func(ctx context.Context, e Event)
	OnDone  func(ctx context.Context, e Event)
	OnRetry func(ctx context.Context, e Event)
	OnStart func(ctx context.Context, e Event)

	// Prefetch is the number of tasks a worker takes beyond those in work. More saves round
	// trips when tasks are short; a task that is taken ahead waits behind this worker's
	// own. -1 takes none. 0, the default, adapts: none unless tasks end within a few
	// milliseconds, then up to ten times Concurrency, and a task that waits for more than 20 ms
	// is given to other workers.
	Prefetch int

	// Strict serves the queues of the worker by priority: a queue that [Also] added gives a
	// task only when those before have none. The queues must be in one cluster slot, without
	// Partitions, and nothing is taken ahead. Tasks whose deliveries are used up become
	// dead letters of the first queue. Defaults to turns by Weight.
	Strict bool

	// Timeout is when a handler's context ends, counted from the handler's start. Defaults
	// to none.
	Timeout time.Duration

	// Weight is the queue's share of the turns beside the queues that [Also] adds.
	// Defaults to 1.
	Weight int
}

// HandlerOptions say how a worker treats the tasks of one queue or kind. Fields that are
// not set are as in the worker's options.
type HandlerOptions struct {
	Backoff  BackoffFunc
	MaxTries int
	Timeout  time.Duration // -1 is none
	Weight   int           // the queue's share of the turns. Defaults to 1
}

// Validate tells which option is wrong. NewWorker panics with the same error.
func (o WorkerOptions) Validate() error {
	err := blocking.NotNegative(
		blocking.Option{Name: "Concurrency", Value: int64(o.Concurrency)},
		blocking.Option{Name: "Lease", Value: int64(o.Lease)},
		blocking.Option{Name: "MaxDeliveries", Value: int64(o.MaxDeliveries)},
		blocking.Option{Name: "MaxTries", Value: int64(o.MaxTries)},
		blocking.Option{Name: "Timeout", Value: int64(o.Timeout)},
		blocking.Option{Name: "Weight", Value: int64(o.Weight)},
	)
	if err == nil && o.Strict && o.Prefetch > 0 {
		err = errors.New("Strict takes nothing ahead: leave Prefetch out")
	}
	for _, m := range o.Middleware {
		if err == nil && m == nil {
			err = errors.New("a Middleware is nil")
		}
	}
	return invalid("WorkerOptions", err)
}

// Validate tells which option is wrong. Also panics with the same error.
func (o HandlerOptions) Validate() error {
	return invalid("HandlerOptions", blocking.NotNegative(
		blocking.Option{Name: "MaxTries", Value: int64(o.MaxTries)},
		blocking.Option{Name: "Weight", Value: int64(o.Weight)},
	))
}

func (o WorkerOptions) filled() WorkerOptions {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Backoff == nil {
		o.Backoff = Exponential(time.Second, 10*time.Minute)
	}
	o.Concurrency = cmp.Or(o.Concurrency, 10)
	o.DrainTimeout = max(cmp.Or(o.DrainTimeout, 20*time.Second), 0)
	o.Group = groupOr(o.Group)
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.MaxDeliveries = cmp.Or(o.MaxDeliveries, 20)
	o.MaxTries = cmp.Or(o.MaxTries, 10)
	o.Weight = cmp.Or(o.Weight, 1)
	if o.Strict {
		o.Prefetch = -1
	}
	return o
}

// filled takes what is not set from the worker's options.
func (o HandlerOptions) filled(w *WorkerOptions) HandlerOptions {
	if o.Backoff == nil {
		o.Backoff = w.Backoff
	}
	o.MaxTries = cmp.Or(o.MaxTries, w.MaxTries)
	o.Timeout = max(cmp.Or(o.Timeout, w.Timeout), 0)
	o.Weight = cmp.Or(o.Weight, 1)
	return o
}
