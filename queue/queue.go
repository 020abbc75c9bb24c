package queue

import (
	"context"
	"math/rand/v2"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Queue is a queue of tasks with payloads of one type. It keeps no connection open, and
// its methods may be called by several goroutines.
type Queue[T any] struct {
	rdb     redis.UniversalClient
	conns   *blocking.Pool // over rdb; nothing is kept open in it
	name    string
	o       Options
	streams []string
	invalid error         // of the name: what each call returns
	turn    atomic.Uint32 // the stream that the next task goes to, modulo their number
}

// New returns a queue over rdb: a *redis.Client (of one server or by Sentinel), a
// *redis.ClusterClient or a *redis.Ring. It does not connect before it is used. It
// panics if the options are not valid; see [Options.Validate].
func New[T any](rdb redis.UniversalClient, name string, options Options) *Queue[T] {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	q := &Queue[T]{rdb: rdb, conns: blocking.NewPool(rdb), name: name, o: options.filled()}
	q.streams, q.invalid = streamsOf(name, q.o.Partitions)
	q.turn.Store(rand.Uint32())
	return q
}

// Name returns the queue's name.
func (q *Queue[T]) Name() string { return q.name }

// Streams returns the streams of the queue, as an [Inspector] names them: its own name, or
// one for each partition.
func (q *Queue[T]) Streams() []string { return append([]string(nil), q.streams...) }

// Cancel takes a task out of the queue by the id that Publish returned, and tells whether
// there was one. A task that is delayed or that no worker has yet is not begun any more.
// The handler of one in work has its context ended with [ErrLost] when the worker renews the
// lease, and what the handler returns then does not count.
//
// Where a reply was lost and it is not known whether the task was there, the error is
// [ErrUnknown].
func (q *Queue[T]) Cancel(ctx context.Context, id string) (bool, error) {
	if q.invalid != nil {
		return false, q.invalid
	}
	for _, stream := range q.streams {
		groups, err := groupsOf(ctx, q.conns, stream)
		if err == nil {
			var n int
			if n, err = cancelIn(ctx, q.conns, q.o.Outage, stream, groups, []string{id}); n > 0 {
				return true, nil
			}
		}
		if err != nil {
			return false, failed("cancel a task of", q.name, err)
		}
	}
	return false, nil
}

// Pause has the queue hand out nothing until Resume, restarts included. A paused queue
// still takes tasks, and tasks in work go on.
func (q *Queue[T]) Pause(ctx context.Context) error { return q.each(ctx, "pause", "TASK.PAUSE") }

// Resume ends a Pause.
func (q *Queue[T]) Resume(ctx context.Context) error { return q.each(ctx, "resume", "TASK.RESUME") }

func (q *Queue[T]) each(ctx context.Context, what, command string) error {
	if q.invalid != nil {
		return q.invalid
	}
	for _, stream := range q.streams {
		if _, err := send(ctx, q.conns, q.o.Outage, true, command, stream); err != nil {
			return failed(what, q.name, err)
		}
	}
	return nil
}

// Redrive brings dead letters of the default group back into the queue, as if they had
// never been tried: the oldest first, at most so many of each partition, all of them with 0.
// It tells how many. It may be repeated after an error: a task is brought back once. Use
// an [Inspector] to choose tasks or for other groups.
func (q *Queue[T]) Redrive(ctx context.Context, most int) (total int, err error) {
	if q.invalid != nil {
		return 0, q.invalid
	}
	i := &Inspector{rdb: q.rdb, conns: q.conns}
	for _, stream := range q.streams {
		for left := most; most <= 0 || left > 0; {
			step := actStep
			if most > 0 {
				step = min(left, actStep)
			}
			page, err := i.list(ctx, stream, ListOptions{State: Dead, Group: DefaultGroup, Limit: step})
			if err != nil {
				return total, failed("redrive", q.name, err)
			}
			s := Selection{Group: DefaultGroup}
			for _, r := range page.Tasks {
				s.Entries = append(s.Entries, r.Entry)
			}
			if len(s.Entries) == 0 {
				break
			}
			out, err := i.Redrive(ctx, stream, s)
			total += out.Done
			left -= out.Done
			if err != nil {
				return total, err
			}
			if len(page.Tasks) < step || out.Done == 0 {
				break
			}
		}
	}
	return total, nil
}
