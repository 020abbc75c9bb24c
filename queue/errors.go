package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrFull is returned by Publish with [Limit] when the queue is as long as that.
	ErrFull = errors.New("the queue is full")

	// ErrLost is the cause of the end of a handler's context when its task is another
	// worker's by now.
	ErrLost = errors.New("the task's lease was lost")

	// ErrStopped is the cause of the end of a handler's context when its worker stops
	// and DrainTimeout is over. What the handler returns then is no failure: the task
	// goes to another worker, unless it is nil.
	ErrStopped = errors.New("the worker stops")
)

// Discard is for a handler to return when it makes no sense to try again: the task
// goes to the dead letters at once, with err as the reason.
func Discard(err error) error { return &steer{err: err, discard: true} }

// RetryAfter is for a handler to return, alone or wrapped, when it is known how long
// to wait before the next try. It counts as one of the retries.
func RetryAfter(d time.Duration) error {
	return &steer{err: fmt.Errorf("to be tried again in %v", d), after: d}
}

// steer is an error that says what to do with the task.
type steer struct {
	err     error
	discard bool
	after   time.Duration
}

func (s *steer) Error() string {
	if s.err == nil {
		return "discarded"
	}
	return s.err.Error()
}

func (s *steer) Unwrap() error { return s.err }

// failed says what failed, and where it is known how to mend it.
func failed(what, name string, err error) error {
	hint := ""
	switch {
	case redis.HasErrorPrefix(err, "unknown command"):
		hint = " (the server has not loaded the module taskqueue: try loadmodule …/taskqueue.so)"
	case redis.HasErrorPrefix(err, "QUEUEFULL"):
		err = fmt.Errorf("%w: %w", ErrFull, err)
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		hint = " (the key holds something that is no stream: use another name)"
	case redis.HasErrorPrefix(err, "NOPERM"):
		hint = " (the user may not do this: try ACL SETUSER <user> ~<name> ~{<name>}* +task.publish +task.consume …)"
	}
	return fmt.Errorf("queue: %s %q: %w%s", what, name, err, hint)
}
