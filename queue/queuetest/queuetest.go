// Package queuetest is for the tests of handlers and of what publishes tasks: it runs one
// task at once, without a server, or takes one from a queue of a real one. Package
// holdfasttest starts servers.
//
//	got := queuetest.Run(ctx, send, Mail{To: "ann@example.com"}, queuetest.Task{Try: 3})
//	if got.Decision != queue.Retried { … }
package queuetest

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"holdfast/queue"
)

// Task says what a task is beside its payload. The zero value is a first try.
type Task struct {
	Codec    queue.Codec // turns the payload into bytes and back. Defaults to queue.JSON
	Error    string      // of the last try
	Headers  queue.Headers
	ID       string // defaults to "1-0"
	Key      string // as of queue.Key
	Kind     string
	MaxTries int    // defaults to 10
	Queue    string // defaults to "test"
	Try      int    // defaults to 1
}

// Result is what became of a task.
type Result struct {
	Decision queue.Decision
	Dead     bool           // the task would be, or is, a dead letter
	Err      error          // what the handler returned
	In       time.Duration  // when the task comes back; negative where the worker's backoff would say
	Task     queue.TaskInfo // as the handler saw it
}

// Run calls a handler with a task, as a worker does: the payload goes through the codec, so
// that what a server would not keep is not kept, and a panic is a failure. It needs no server.
func Run[T any](ctx context.Context, h queue.Handler[T], payload T, task Task) Result {
	t := &queue.Task[T]{TaskInfo: queue.TaskInfo{
		ID: or(task.ID, "1-0"), Entry: or(task.ID, "1-0"), Queue: or(task.Queue, "test"), Stream: or(task.Queue, "test"),
		Kind: task.Kind, Key: task.Key, Headers: task.Headers, Error: task.Error,
		Try: max(task.Try, 1), MaxTries: task.MaxTries, Published: time.Now().Truncate(time.Second),
	}}
	if t.MaxTries == 0 {
		t.MaxTries = 10
	}
	err := call(ctx, h, payload, task, t)
	return result(err, t.TaskInfo)
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// call runs the handler in a goroutine of its own, which the handler may end.
func call[T any](ctx context.Context, h queue.Handler[T], payload T, task Task, t *queue.Task[T]) (err error) {
	codec := task.Codec
	if codec == nil {
		codec = queue.JSON
	}
	data, err := codec.Marshal(payload)
	if err != nil {
		return fmt.Errorf("the payload cannot be encoded: %w", err)
	}
	if err := codec.Unmarshal(data, &t.Payload); err != nil {
		return fmt.Errorf("the payload cannot be decoded: %w", err)
	}
	err = fmt.Errorf("the handler ended its goroutine")
	var done sync.WaitGroup
	done.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		err = h(ctx, t)
	})
	done.Wait()
	return err
}

func result(err error, info queue.TaskInfo) Result {
	r := Result{Err: err, Task: info}
	r.Decision, r.In = queue.Decide(err)
	r.Dead = r.Decision == queue.Discarded || r.Decision == queue.Retried && info.Last()
	return r
}

// Work takes one task from a queue on a server, has the handler work on it, and returns when
// the server was told how it ended. It waits for a task until ctx ends.
func Work[T any](ctx context.Context, q *queue.Queue[T], h queue.Handler[T], options queue.WorkerOptions) (Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var once sync.Once
	var got *Result
	note := func(dead bool) func(context.Context, queue.Event) {
		return func(_ context.Context, e queue.Event) {
			once.Do(func() {
				r := result(e.Err, *e.Task)
				r.Dead = dead
				if r.In < 0 && r.Decision == queue.Retried && !dead {
					r.In = e.In
				}
				got = &r
				stop()
			})
		}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	options.Concurrency, options.Prefetch = 1, -1
	options.OnDone, options.OnRetry, options.OnDead = note(false), note(false), note(true)
	var begun bool
	one := func(ctx context.Context, t *queue.Task[T]) error {
		if begun { // the worker stops with the first task
			<-ctx.Done()
			return ctx.Err()
		}
		begun = true
		return h(ctx, t)
	}
	options.DrainTimeout = max(options.DrainTimeout, time.Millisecond)
	err := queue.NewWorker(q, one, options).Run(ctx)
	if got != nil {
		return *got, nil
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return Result{}, err
}

// Payloads decodes the payloads of the tasks of a queue that are ready, held, delayed or in
// work, in this order: for the test of what publishes. It returns 1000 of each at most.
func Payloads[T any](ctx context.Context, i *queue.Inspector, q *queue.Queue[T], codec queue.Codec) (all []T, err error) {
	if codec == nil {
		codec = queue.JSON
	}
	for _, stream := range q.Streams() {
		for _, state := range []queue.State{queue.Ready, queue.Held, queue.Delayed, queue.InWork} {
			page, err := i.List(ctx, stream, queue.ListOptions{State: state, Limit: 1000})
			if err != nil {
				return all, err
			}
			for _, r := range page.Tasks {
				var payload T
				if err := codec.Unmarshal(r.Payload, &payload); err != nil {
					return all, fmt.Errorf("the payload of %s cannot be decoded: %w", r.ID, err)
				}
				all = append(all, payload)
			}
		}
	}
	return all, nil
}
