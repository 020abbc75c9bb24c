package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Task is a task in a handler's hands.
type Task[T any] struct {
	ID        string // of its entry; another for each retry
	Stream    string // which it came from: the queue, or a partition of it
	Payload   T
	Headers   Headers
	Retries   int       // how often it was tried before and failed
	Published time.Time // when first, to the second
}

// Handler works on a task. Returning nil is the end of the task. After any other
// error, and after a panic, it is tried again later, or goes to the dead letters
// when it was tried often enough; [Discard] and [RetryAfter] steer that.
//
// The context ends when the task is another worker's ([ErrLost]), when it has to
// end for its worker to stop ([ErrStopped]), and after WorkerOptions.Timeout;
// [context.Cause] tells which. It has the values of the context given to Run.
type Handler[T any] func(ctx context.Context, t *Task[T]) error

// Middleware makes a handler of a handler, to do something around it.
type Middleware[T any] func(Handler[T]) Handler[T]

// With returns the handler with middleware around it, the first outermost.
func (h Handler[T]) With(around ...Middleware[T]) Handler[T] {
	for _, wrap := range slices.Backward(around) {
		h = wrap(h)
	}
	return h
}

// parse makes a task of the fields of an entry, which may be anybody's: payload,
// timestamp and retry_count, and headers.
func parse[T any](o *Options, t *Task[T], fields []any) error {
	found := false
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		switch name {
		case "payload":
			found = true
			if err := o.Codec.Unmarshal([]byte(value), &t.Payload); err != nil {
				return fmt.Errorf("the payload cannot be decoded: %w", err)
			}
		case "timestamp":
			seconds, _ := strconv.ParseInt(value, 10, 64)
			t.Published = time.Unix(seconds, 0)
		case "retry_count":
			t.Retries, _ = strconv.Atoi(value)
		default:
			if t.Headers == nil {
				t.Headers = Headers{}
			}
			t.Headers[name] = value
		}
	}
	if !found {
		return errors.New("the entry has no field payload")
	}
	return nil
}

// work is how a worker has a task done: the types are known here alone.
func work[T any](q *Queue[T], h Handler[T]) func(ctx context.Context, stream, id string, fields []any) error {
	return func(ctx context.Context, stream, id string, fields []any) error {
		t := &Task[T]{ID: id, Stream: stream}
		if err := parse(&q.o, t, fields); err != nil {
			return Discard(err)
		}
		return h(q.o.Extract(ctx, t.Headers), t)
	}
}
