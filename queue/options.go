package queue

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

// Options say how a queue is reached. The zero value is a good one. All who publish
// to a queue or work on it must give the same Codec and Partitions.
type Options struct {
	// Codec turns payloads into bytes and back. Defaults to JSON.
	Codec Codec

	// Extract adds to a handler's context what its task's headers tell of a trace.
	// Defaults to what [Traceparent] returns.
	Extract func(ctx context.Context, h Headers) context.Context

	// Inject sets the headers that tell of a context's trace. Defaults to what
	// [WithTraceparent] was given.
	Inject func(ctx context.Context, h Headers)

	// Kind names the tasks of this Queue where several kinds share the queue of one name:
	// each kind has a Queue of its own type, and in a worker a handler of its own. Defaults to
	// none, which is a kind, too.
	Kind string

	// Outage is how long a call tries again while the server cannot be reached,
	// starts, is failed over or refuses for a moment, before it returns the error.
	// Defaults to 30 seconds.
	Outage time.Duration

	// Partitions is the number of streams the queue is spread over, {name:0} and so on,
	// so that a cluster has them on several nodes. Tasks are in order within each
	// alone. Defaults to 1: the stream has the queue's name.
	Partitions int
}

// Validate tells which option is wrong. New panics with the same error.
func (o Options) Validate() error {
	return invalid("Options", blocking.NotNegative(
		blocking.Option{Name: "Outage", Value: int64(o.Outage)},
		blocking.Option{Name: "Partitions", Value: int64(o.Partitions)},
	))
}

func (o Options) filled() Options {
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
	return o
}

func invalid(which string, err error) error {
	if err != nil {
		return fmt.Errorf("queue: %s: %w", which, err)
	}
	return nil
}
