package queue

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrFull is returned by Publish with [Limit] when the stream is as long as that.
	ErrFull = errors.New("the queue is full")

	// ErrLost is the cause with which a handler's context ends when another worker has
	// its task, or may have it: the lease could not be renewed in time, or the task was
	// cancelled.
	ErrLost = errors.New("the task's lease was lost")

	// ErrStopped is the cause with which a handler's context ends when its worker stops
	// and DrainTimeout is over. Whatever the handler returns then is no failure: the task
	// goes to another worker, unless the handler returns nil.
	ErrStopped = errors.New("the worker stops")

	// ErrUnknown says that a reply was lost, and that the server may or may not have
	// carried the command out.
	ErrUnknown = errors.New("the outcome is not known")
)

// Discard is for a handler to return when another try makes no sense: the task becomes
// a dead letter at once, with err as the reason.
func Discard(err error) error { return &directive{err: err, decision: Discarded} }

// RetryAfter is for a handler to return, alone or wrapped, when it knows how long to
// wait before the next try. The try counts as failed.
func RetryAfter(d time.Duration) error {
	return &directive{err: fmt.Errorf("to be tried again in %v", d), decision: Retried, after: d}
}

// Snooze is for a handler to return, alone or wrapped, when it is too early for the
// task: the task comes back after d, and the try does not count.
func Snooze(d time.Duration) error {
	return &directive{err: fmt.Errorf("snoozed for %v", d), decision: Snoozed, after: d}
}

// Decision is what becomes of a task by what its handler returned.
type Decision string

// The decisions.
const (
	Done      Decision = "done"
	Retried   Decision = "retried" // or a dead letter, when it was the last try
	Snoozed   Decision = "snoozed"
	Discarded Decision = "discarded"
)

// Decide tells what becomes of a task whose handler returned err, and after how long a
// task comes back for which the handler said so; else the time is negative, and the
// backoff decides.
func Decide(err error) (Decision, time.Duration) {
	var s *directive
	switch {
	case err == nil:
		return Done, -1
	case !errors.As(err, &s):
		return Retried, -1
	case s.decision == Discarded:
		return Discarded, -1
	}
	return s.decision, max(s.after, 0)
}

// directive is an error that says what becomes of the task.
type directive struct {
	err      error
	decision Decision
	after    time.Duration
}

func (s *directive) Error() string {
	if s.err == nil {
		return string(s.decision)
	}
	return s.err.Error()
}

func (s *directive) Unwrap() error { return s.err }

// Errors is for the handler of a [Batch] to return when some of its tasks failed: the
// error of each task, in their order, nil for those that are done.
type Errors []error

func (e Errors) Error() string {
	var texts []string
	for _, err := range e {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	return strings.Join(texts, "; ")
}

// failed says what failed, and what mends it where that is known.
func failed(what, name string, err error) error {
	hint := ""
	switch {
	case redis.HasErrorPrefix(err, "unknown command"):
		hint = " (the server has not loaded the module taskqueue, or an older one: try loadmodule …/taskqueue.so)"
	case redis.HasErrorPrefix(err, "QUEUEFULL"):
		err = fmt.Errorf("%w: %w", ErrFull, err)
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		hint = " (the key holds something that is no stream: use another name)"
	case redis.HasErrorPrefix(err, "NOPERM"):
		hint = " (the user may not do this: try ACL SETUSER <user> ~<name> ~{<name>}* +task.publish +task.consume …, as docs/queue.md lists them)"
	}
	return fmt.Errorf("queue: %s %q: %w%s", what, name, err, hint)
}
