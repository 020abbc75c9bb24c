package queue

import (
	"context"
	"time"
)

// entry is a task that a worker took.
type entry struct {
	st         *stream
	part       *part
	s          *session
	id         any // a string, as it came in the reply and goes into commands
	fields     []any
	state      entryState
	failure    *failure
	leased     time.Time // when the lease was begun or renewed, or earlier
	cancel     context.CancelCauseFunc
	prev, next *entry
}

// failure is what there is to tell of a task that failed or was put off.
type failure struct {
	err     error         // what the handler returned
	info    *TaskInfo     // nil where there was no handler
	took    time.Duration // how long the handler ran
	backoff BackoffFunc
}

type entryState int8

const (
	buffered   entryState = iota // taken, and not begun
	inWork                       // a handler has it
	settling                     // the server is to be told how it ended
	unfinished                   // its handler was interrupted because the worker stops
	lost                         // another worker has it, or may have
)

// off tells whether an entry is in no list.
func (e *entry) off() bool { return e.next == nil }

// entryList is a list of entries in the order of their leases.
type entryList struct{ root entry }

func (l *entryList) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *entryList) push(e *entry) {
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, l.root.prev = e, e
}

func (l *entryList) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (l *entryList) first() *entry { return l.after(&l.root) }

func (l *entryList) after(e *entry) *entry {
	if e.next == &l.root {
		return nil
	}
	return e.next
}
