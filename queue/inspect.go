package queue

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Inspector looks into queues and steers them: what an operator needs, and programs
// built for operators. Its methods name a queue by its stream: the queue's name, or
// {name:0} and so on for a queue with Partitions. No method costs more than what it
// returns or says that it looked at, however long the queue is.
//
// An Inspector keeps nothing open and may be used by several goroutines.
type Inspector struct {
	rdb   redis.UniversalClient
	conns *blocking.Pool
}

// Inspect returns an Inspector over rdb.
func Inspect(rdb redis.UniversalClient) *Inspector {
	return &Inspector{rdb: rdb, conns: blocking.NewPool(rdb)}
}

// ErrNotFound is returned by Find for a task that is nowhere within the window looked at.
var ErrNotFound = errors.New("no such task")

// Stats tells how one stream is doing, its retry and dead streams included. The reply
// costs a few commands, whatever the length of the queue.
func (i *Inspector) Stats(ctx context.Context, stream string) (Stats, error) {
	var s Stats
	if err := i.check(stream); err != nil {
		return s, err
	}
	if err := s.add(ctx, i.conns, stream); err != nil {
		return s, failed("stats of", stream, err)
	}
	return s, nil
}

// Consumer is a consumer of a group: each worker has one for each stream, or more after
// its connection broke.
type Consumer struct {
	Name    string        `json:"name"`
	Pending int64         `json:"pending"`
	Idle    time.Duration `json:"idle_ns"` // since the consumer last spoke
}

// Consumers lists the consumers of a group. The consumers that the server keeps for itself,
// whose names begin with taskqueue:, are left out.
func (i *Inspector) Consumers(ctx context.Context, stream, group string) ([]Consumer, error) {
	list, err := consumersOf(ctx, i.conns, stream, groupOr(group))
	if err != nil {
		return nil, failed("list the consumers of", stream, err)
	}
	var all []Consumer
	for _, c := range list {
		if !strings.HasPrefix(c.Name, "taskqueue:") {
			all = append(all, c)
		}
	}
	return all, nil
}

func (i *Inspector) check(stream string) error {
	_, err := streamsOf(stream, 1)
	return err
}

func groupOr(group string) string {
	if group == "" {
		return DefaultGroup
	}
	return group
}
