package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"holdfast/internal/blocking"
)

// loop works on one task after another until the worker stops.
func (w *Worker) loop() {
	ended := false
	defer func() {
		if !ended { // a handler ended the goroutine (runtime.Goexit): another one
			w.handlers.Go(w.loop)
		}
	}()
	for {
		ctx, cancel := context.WithCancelCause(w.values)
		e := w.next(cancel)
		if e == nil {
			cancel(nil)
			break
		}
		w.handle(ctx, e)
	}
	ended = true
}

// next waits for a task to begin, or nil when the worker stops.
func (w *Worker) next(cancel context.CancelCauseFunc) *entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.draining {
		if st := w.pick(); st != nil {
			e := st.ahead0()
			e.state, e.cancel = inWork, cancel
			if st.hasRoom() {
				st.hungry.Signal()
			}
			return e
		}
		w.idle++
		for _, st := range w.all {
			if st.hasRoom() {
				st.hungry.Signal()
			}
		}
		w.ready.Wait()
		w.idle--
	}
	return nil
}

// pick says whose turn it is among the streams that have something: each queue's as
// often as its weight says, evenly spread (smooth weighted round robin), and its
// streams' in turn.
func (w *Worker) pick() *stream {
	if len(w.all) == 1 {
		if st := w.all[0]; len(st.buffer) > 0 {
			return st
		}
		return nil
	}
	var best *source
	var from *stream
	total := 0
	for _, q := range w.queues {
		st := q.next()
		if st == nil {
			continue
		}
		q.credit += q.weight
		total += q.weight
		if best == nil || q.credit > best.credit {
			best, from = q, st
		}
	}
	if best != nil {
		best.credit -= total
		best.turn = slices.Index(best.streams, from) + 1
	}
	return from
}

// next is the queue's next stream that has a task, from its turn on.
func (q *source) next() *stream {
	for i := range q.streams {
		if st := q.streams[(q.turn+i)%len(q.streams)]; len(st.buffer) > 0 {
			return st
		}
	}
	return nil
}

// errGoexit is the failure of a handler that ended its goroutine.
var errGoexit = errors.New("the handler ended its goroutine")

// handle has a task done and sees to its end, also when the handler panics.
func (w *Worker) handle(ctx context.Context, e *entry) {
	err := errGoexit
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			w.o.Logger.Error("queue: a handler panicked", "stream", e.st.name, "id", e.id, "panic", p, "stack", string(debug.Stack()))
		}
		e.cancel(nil)
		w.finish(e, err)
	}()
	if w.o.Timeout > 0 {
		timed, cancel := context.WithTimeout(ctx, w.o.Timeout)
		defer cancel()
		ctx = timed
	}
	err = e.st.q.work(ctx, e.st.name, e.id.(string), e.fields)
}

// finish does what is to be done after a handler returned.
func (w *Worker) finish(e *entry, err error) {
	w.mu.Lock()
	switch {
	case e.state == lost: // another's: nothing is left to be said
		w.mu.Unlock()
		w.o.Logger.Warn("queue: a task was lost to another worker while it was in work", "stream", e.st.name, "id", e.id)
		return
	case err == nil:
		e.state = done
		e.s.acks = append(e.s.acks, e)
		e.st.finished.Signal()
		w.mu.Unlock()
		return
	case w.stopping: // interrupted: given back with all that is left
		e.state = unfinished
		w.mu.Unlock()
		return
	}
	e.state = done
	w.mu.Unlock()
	w.refuse(e, err)
}

// reasonMost is how much of an error is kept with a dead letter.
const reasonMost = 4 << 10

// refuse tells the server that a task failed: in one step it is taken from this
// worker, and published again for later or buried.
func (w *Worker) refuse(e *entry, err error) {
	reason := err.Error()
	reason = reason[:min(len(reason), reasonMost)]
	most := w.o.MaxRetries
	args := []any{"TASK.NACK", e.st.name, w.o.Group, e.s.consumer, e.id, "REASON", reason}
	var s *steer
	switch {
	case errors.As(err, &s) && s.discard:
		most = 0
	case s != nil:
		args = append(args, "DELAY", blocking.Millis(s.after))
	default:
		args = append(args, "BACKOFF", blocking.Millis(w.o.Backoff), blocking.Millis(w.o.MaxBackoff))
	}
	args = append(args, "MAXRETRIES", most, "DEAD", e.st.dead)
	reply, err := e.st.send(args...)
	if err != nil {
		w.o.Logger.Error("queue: a failure cannot be told: the task is tried again when its lease is over", "stream", e.st.name, "id", e.id, "error", err)
		if w.hard.Err() == nil && !blocking.Passes(err) {
			w.fail(e.st, err)
		}
	}
	if outcome, _ := reply.([]any); len(outcome) == 2 && outcome[0] == "DEAD" {
		w.o.Logger.Warn("queue: a task is a dead letter now", "stream", e.st.name, "id", e.id, "dead", e.st.dead, "dead_id", outcome[1], "reason", reason)
	}
	w.mu.Lock()
	e.st.drop(e)
	w.mu.Unlock()
}
