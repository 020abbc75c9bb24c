package queue

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"holdfast/internal/blocking"
)

// Options are how a queue is reached. The zero value is a good one. All who
// publish to a queue or work on it must give the same Codec and Partitions.
type Options struct {
	// Codec turns payloads into bytes and back. Defaults to JSON.
	Codec Codec

	// Extract gives a handler's context what its task's headers tell of a trace.
	// Defaults to what Traceparent returns.
	Extract func(ctx context.Context, h Headers) context.Context

	// Inject sets the headers that tell of a context's trace. Defaults to what
	// WithTraceparent was given.
	Inject func(ctx context.Context, h Headers)

	// Outage is how long a call tries again while the server cannot be reached,
	// starts or is failed over, before it returns the error. Defaults to 30 seconds.
	Outage time.Duration

	// Partitions is over how many streams the queue is spread, {name:0} and so on,
	// for a cluster to have them on several nodes. There is an order within each
	// alone. Defaults to 1: the stream is called as the queue.
	Partitions int
}

func (o Options) filled() (Options, error) {
	err := blocking.NotNegative(
		blocking.Option{Name: "Outage", Value: int64(o.Outage)},
		blocking.Option{Name: "Partitions", Value: int64(o.Partitions)},
	)
	if err != nil {
		return o, fmt.Errorf("queue: %w", err)
	}
	if o.Codec == nil {
		o.Codec = JSON
	}
	if o.Extract == nil {
		o.Extract = extract
	}
	if o.Inject == nil {
		o.Inject = inject
	}
	o.Outage = cmp.Or(o.Outage, 30*time.Second)
	return o, nil
}

// WorkerOptions are how a worker works. The zero value is a good one. All workers
// of a group must give the same Lease.
type WorkerOptions struct {
	// Backoff is how long a task that failed waits before its first retry; twice as
	// long before each further one, up to MaxBackoff. That is the most: the wait is
	// a random part of it, so that what failed together does not come back together.
	// Defaults to one second.
	Backoff time.Duration

	// Concurrency is how many tasks are in work at a time. Defaults to 10.
	Concurrency int

	// DrainTimeout is how long a worker that stops lets handlers finish before it
	// ends their contexts. Negative is not at all. Defaults to 20 seconds.
	DrainTimeout time.Duration

	// Group is whom the worker shares the tasks with. Each group gets every task.
	// Defaults to "workers".
	Group string

	// Lease is for how long a worker that vanished keeps its tasks from the others,
	// in whole milliseconds. It is renewed while a task is in work. Defaults to 30
	// seconds.
	Lease time.Duration

	// Logger is told of dead letters, of panics, of tasks that were finished too
	// late, and when the server ceases to answer and answers again. Defaults to
	// slog.Default().
	Logger *slog.Logger

	// MaxBackoff bounds Backoff's growth. Defaults to 10 minutes.
	MaxBackoff time.Duration

	// MaxDeliveries is how often a task may be delivered to workers that vanish with
	// it before it is a dead letter: it may be what ends them. A worker that
	// stops in order and gives a task back counts too. Defaults to 20.
	MaxDeliveries int

	// MaxRetries is how often a task that failed is tried again before it is a dead
	// letter. Negative is never. Defaults to 10.
	MaxRetries int

	// Prefetch is how many tasks, beyond those in work, are taken ahead, so that
	// short ones do not wait for a round trip each. Negative is none, which is right
	// where tasks take long and another worker might begin them sooner. Defaults to
	// 0: to Concurrency, and up to ten times that while tasks are done in no time.
	Prefetch int

	// Timeout is when a handler's context ends, counted from the task's start. Defaults
	// to 0: never.
	Timeout time.Duration

	// Weight is how often it is this queue's turn, beside those that [Also] adds.
	// Defaults to 1.
	Weight int
}

func (o WorkerOptions) filled() (WorkerOptions, error) {
	err := blocking.NotNegative(
		blocking.Option{Name: "Backoff", Value: int64(o.Backoff)},
		blocking.Option{Name: "Lease", Value: int64(o.Lease)},
		blocking.Option{Name: "MaxBackoff", Value: int64(o.MaxBackoff)},
		blocking.Option{Name: "Timeout", Value: int64(o.Timeout)},
		blocking.Option{Name: "Concurrency", Value: int64(o.Concurrency)},
		blocking.Option{Name: "MaxDeliveries", Value: int64(o.MaxDeliveries)},
		blocking.Option{Name: "Weight", Value: int64(o.Weight)},
	)
	if err != nil {
		return o, fmt.Errorf("queue: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Backoff = cmp.Or(o.Backoff, time.Second)
	o.Concurrency = cmp.Or(o.Concurrency, 10)
	o.DrainTimeout = max(cmp.Or(o.DrainTimeout, 20*time.Second), 0)
	o.Group = cmp.Or(o.Group, "workers")
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.MaxBackoff = max(cmp.Or(o.MaxBackoff, 10*time.Minute), o.Backoff)
	o.MaxDeliveries = cmp.Or(o.MaxDeliveries, 20)
	o.MaxRetries = max(cmp.Or(o.MaxRetries, 10), 0)
	o.Weight = cmp.Or(o.Weight, 1)
	return o, nil
}
