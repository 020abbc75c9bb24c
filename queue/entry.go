package queue

import (
	"context"
	"time"
)

// entry is a task that a worker took.
type entry struct {
	st         *stream
	s          *session
	id         any // a string, as it came in the reply and goes into commands
	fields     []any
	state      state
	leased     time.Time // when the lease was begun or renewed, or earlier
	cancel     context.CancelCauseFunc
	prev, next *entry
}

type state int8

const (
	waiting    state = iota // in the buffer
	inWork                  // a handler has it
	done                    // the server is to be told so
	unfinished              // its handler was interrupted
	lost                    // another worker has it
)

// off tells whether an entry is in no list.
func (e *entry) off() bool { return e.next == nil }

// list is a list of entries, whose order is that of their leases.
type list struct{ root entry }

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *list) push(e *entry) {
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, l.root.prev = e, e
}

func (l *list) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (l *list) first() *entry { return l.after(&l.root) }

func (l *list) after(e *entry) *entry {
	if e.next == &l.root {
		return nil
	}
	return e.next
}
