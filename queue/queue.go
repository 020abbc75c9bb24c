package queue

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Queue is a queue of tasks with payloads of one type. It holds nothing open, and
// its methods may be called by several goroutines.
type Queue[T any] struct {
	rdb     redis.UniversalClient
	conns   *blocking.Pool // over rdb; nothing is kept open in it
	name    string
	o       Options
	err     error // of the options, told by every call
	streams []string
	turn    atomic.Uint32 // whose turn it is among the streams
}

// New returns a queue over rdb: a *redis.Client (of one server or by Sentinel), a
// *redis.ClusterClient or a *redis.Ring. It connects when it is used.
func New[T any](rdb redis.UniversalClient, name string, options Options) *Queue[T] {
	q := &Queue[T]{rdb: rdb, conns: blocking.NewPool(rdb), name: name}
	if q.o, q.err = options.filled(); q.err == nil {
		q.streams, q.err = streams(name, q.o.Partitions)
	}
	q.turn.Store(rand.Uint32())
	return q
}

// Cancel removes a delayed task before it is due, by the id that Publish returned,
// and tells whether there was one.
func (q *Queue[T]) Cancel(ctx context.Context, id string) (bool, error) {
	n, err := q.sum(ctx, "cancel", func(stream string) []any { return []any{"TASK.CANCEL", stream, id} })
	return n > 0, err
}

// Pause has the queue hand out nothing until Resume, whatever restarts meanwhile.
// It still takes tasks, and what is in work goes on.
func (q *Queue[T]) Pause(ctx context.Context) error {
	_, err := q.sum(ctx, "pause", func(stream string) []any { return []any{"TASK.PAUSE", stream} })
	return err
}

// Resume ends a Pause.
func (q *Queue[T]) Resume(ctx context.Context) error {
	_, err := q.sum(ctx, "resume", func(stream string) []any { return []any{"TASK.RESUME", stream} })
	return err
}

// redriveStep is how many tasks one command brings back.
const redriveStep = 1000

// Redrive brings dead letters back into the queue, the oldest first and at most so
// many of each partition, as if they had never been tried; 0 is all of them. It
// tells how many.
func (q *Queue[T]) Redrive(ctx context.Context, most int) (total int, err error) {
	if q.err != nil {
		return 0, q.err
	}
	for _, stream := range q.streams {
		for left := most; ; {
			step := redriveStep
			if most > 0 {
				step = min(left, step)
			}
			reply, err := q.send(ctx, true, "TASK.REDRIVE", deadOf(stream), "COUNT", step)
			if err != nil {
				return total, failed("redrive", q.name, err)
			}
			n, _ := reply.(int64)
			total += int(n)
			left -= int(n)
			if int(n) < step || left == 0 {
				break
			}
		}
	}
	return total, nil
}

// sum sends a command for every stream, and adds up what they answer.
func (q *Queue[T]) sum(ctx context.Context, what string, command func(stream string) []any) (total int64, err error) {
	if q.err != nil {
		return 0, q.err
	}
	for _, stream := range q.streams {
		reply, err := q.send(ctx, true, command(stream)...)
		if err != nil {
			return total, failed(what, q.name, err)
		}
		n, _ := reply.(int64)
		total += n
	}
	return total, nil
}

// send sends a command, and again after errors that pass, as Options.Outage says.
func (q *Queue[T]) send(ctx context.Context, harmless bool, args ...any) (any, error) {
	return send(ctx, q.conns, q.o.Outage, harmless, args...)
}

// send sends a command, and again after errors that pass, until they have for as
// long as outage. What would do harm if it were carried out twice is repeated only
// where it cannot have been.
func send(ctx context.Context, conns *blocking.Pool, outage time.Duration, harmless bool, args ...any) (any, error) {
	var backoff blocking.Backoff
	for {
		reply, err := conns.Send(ctx, args...)
		if err == nil || !blocking.Passes(err) || !harmless && !blocking.Refused(err) && !blocking.Unsent(err) {
			return reply, err
		}
		if !backoff.Pause(ctx, outage) {
			return nil, err
		}
	}
}
