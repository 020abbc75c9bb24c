package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Task is a task in a handler's hands.
type Task[T any] struct {
	TaskInfo
	Payload T
}

// TaskInfo is what is known of a task beside its payload.
type TaskInfo struct {
	ID       string // what Publish returned, for life: log it, and check by it what was done before
	Entry    string // the id of the stream's entry; each try has another
	Queue    string // the queue's name
	Stream   string // the stream the entry came from: the queue, a partition, or a retry stream
	Kind     string // Options.Kind of who published it
	Key      string // what [Key] was given, or ""
	Headers  Headers
	Try      int // 1 for the first
	MaxTries int // the task is a dead letter when try MaxTries fails

	Error     string    // of the last try
	History   []Failure // the last tries, newest last, ten at most
	Published time.Time // when first, to the second

	entry *entry
}

// Last tells whether the task becomes a dead letter if this try fails.
func (t *TaskInfo) Last() bool { return t.Try >= t.MaxTries }

// Deliveries asks the server how often this entry was given to a worker: more than once
// says that a worker vanished with it, or lost its lease.
func (t *TaskInfo) Deliveries(ctx context.Context) (int, error) {
	if t.entry == nil {
		return 1, nil
	}
	return t.entry.deliveries(ctx)
}

// Handler works on a task. Returning nil ends the task. After any other error, and after a
// panic, it is tried again later, or becomes a dead letter when it was tried often
// enough; [Discard], [RetryAfter] and [Snooze] steer that.
//
// The context ends when the task is lost to another worker ([ErrLost]), when the worker
// stops and cannot wait any longer ([ErrStopped]), and after the task's timeout;
// [context.Cause] tells which. It has the values of the context given to Run.
type Handler[T any] func(ctx context.Context, t *Task[T]) error

// Middleware does something around the handlers of a worker: it calls next, once, with ctx
// or a context made of it, and returns what becomes of the task.
type Middleware func(ctx context.Context, t *TaskInfo, next func(context.Context) error) error

// Event is what happened to a task, for a worker's functions OnStart and so on.
type Event struct {
	Task *TaskInfo
	Err  error         // of OnRetry and OnDead: what the handler returned
	Took time.Duration // how long the handler ran; 0 in OnStart
	Wait time.Duration // of OnStart: how long the entry was in the stream
	In   time.Duration // of OnRetry: when the task comes back
}

// job is a task with what runs it; the type of the payload is known here alone.
type job[T any] struct {
	Task[T]
	q       *Queue[T]
	h       Handler[T]
	payload string
	found   bool
}

// runner is a job of any type.
type runner interface {
	info() *TaskInfo
	run(ctx context.Context) error
}

func (j *job[T]) info() *TaskInfo { return &j.TaskInfo }

var errNoPayload = errors.New("the entry has no field payload")

// run decodes the payload and calls the handler. A payload that cannot be decoded is a
// failure like others: the next try may be a newer worker's.
func (j *job[T]) run(ctx context.Context) error {
	if !j.found {
		return Discard(errNoPayload)
	}
	if err := j.q.o.Codec.Unmarshal([]byte(j.payload), &j.Payload); err != nil {
		return fmt.Errorf("the payload cannot be decoded: %w", err)
	}
	return j.h(j.q.o.Extract(ctx, j.Headers), &j.Task)
}

// open returns how a worker makes jobs of entries.
func open[T any](q *Queue[T], h Handler[T]) func(e *entry) runner {
	return func(e *entry) runner {
		j := &job[T]{q: q, h: h}
		j.TaskInfo = TaskInfo{ID: e.id.(string), Entry: e.id.(string), Queue: q.name, Stream: e.part.name, Try: 1, entry: e}
		j.payload, j.found = j.read(e.fields)
		return j
	}
}

// read takes from the fields of an entry what they tell of the task. The entry may be
// anybody's.
func (t *TaskInfo) read(fields []any) (payload string, found bool) {
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		switch name {
		case fieldPayload:
			payload, found = value, true
		case fieldTimestamp:
			seconds, _ := strconv.ParseInt(value, 10, 64)
			t.Published = time.Unix(seconds, 0)
		case fieldRetries:
			n, _ := strconv.Atoi(value)
			t.Try = n + 1
		case fieldTaskID:
			t.ID = value
		case fieldError:
			t.Error = value
		case fieldHistory:
			t.History = historyOf(value)
		case fieldKind:
			t.Kind = value
		case fieldKey:
			t.Key = value
		case "unique_id", "unique_until_done", "expire_at", fieldWeight:
		default:
			if t.Headers == nil {
				t.Headers = Headers{}
			}
			t.Headers[name] = value
		}
	}
	return payload, found
}

// kindOf is the field kind of an entry. A first entry has three fields and no kind.
func kindOf(fields []any) string {
	for i := 6; i+1 < len(fields); i += 2 {
		if fields[i] == fieldKind {
			kind, _ := fields[i+1].(string)
			return kind
		}
	}
	return ""
}
