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
	err        error     // of a task that failed: what the handler returned
	info       *TaskInfo // of a task that failed
	backoff    BackoffFunc
	took       time.Duration // how long the handler ran
	leased     time.Time     // when the lease was begun or renewed, or earlier
	cancel     context.CancelCauseFunc
	prev, next *entry
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
