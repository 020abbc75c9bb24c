package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// loop works on one task after another until the worker stops.
func (w *Worker) loop() {
	ended := false
	defer func() {
		if !ended { // a handler ended the goroutine (runtime.Goexit): another one
			w.handlers.Go(w.loop)
		}
	}()
	now := time.Now()
	for {
		ctx, cancel := context.WithCancelCause(w.values)
		e, waited := w.next(cancel)
		if e == nil {
			cancel(nil)
			break
		}
		if waited {
			now = time.Now()
		}
		now = w.handle(ctx, e, now)
	}
	ended = true
}

// next returns a task to begin, nil when the worker stops, and whether it had to wait.
func (w *Worker) next(cancel context.CancelCauseFunc) (e *entry, waited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; !w.draining; waited = true {
		if st := w.pick(); st != nil {
			e = st.pop()
			e.state, e.cancel = inWork, cancel
			if st.hasRoom() {
				st.demand.Signal()
			}
			return e, waited
		}
		w.idle++
		for _, st := range w.all {
			if st.hasRoom() {
				st.demand.Signal()
			}
		}
		w.ready.Wait()
		w.idle--
	}
	return nil, waited
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

// handle has a task done, from the time began on, and sees to its end, also when the
// handler panics. It returns when the task ended.
func (w *Worker) handle(ctx context.Context, e *entry, began time.Time) (ended time.Time) {
	h := e.part.q.handlers[kindOf(e.fields)]
	if h == nil {
		e.cancel(nil)
		w.finish(ctx, e, nil, 0, w.noHandler(e), nil)
		return time.Now()
	}
	j := h.open(e)
	info := j.info()
	info.MaxTries = h.o.MaxTries
	timeout, backoff := h.o.Timeout, h.o.Backoff
	if info.Headers != nil {
		timeout, backoff = info.policy(timeout, backoff)
	}
	err := errGoexit
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			w.o.Logger.Error("queue: a handler panicked", "stream", e.part.name, "id", info.ID, "panic", p, "stack", string(debug.Stack()))
		}
		e.cancel(nil)
		ended = time.Now()
		w.finish(ctx, e, info, ended.Sub(began), err, backoff)
	}()
	run := ctx
	if timeout > 0 {
		timed, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		run = timed
	}
	if w.o.OnStart != nil {
		w.o.OnStart(run, Event{Task: info, Wait: max(began.Sub(timeOf(info.Entry)), 0)})
	}
	if len(w.o.Middleware) == 0 {
		err = j.run(run)
	} else {
		err = w.around(run, info, j, 0)
	}
	return ended // by the deferred function
}

// around calls the middleware from the n-th on, and the handler inside.
func (w *Worker) around(ctx context.Context, info *TaskInfo, j runner, n int) error {
	if n == len(w.o.Middleware) {
		return j.run(ctx)
	}
	return w.o.Middleware[n](ctx, info, func(ctx context.Context) error { return w.around(ctx, info, j, n+1) })
}

// policy is how the publisher of the task wants it tried, where it said so. The fields
// that say so are no headers.
func (t *TaskInfo) policy(timeout time.Duration, backoff BackoffFunc) (time.Duration, BackoffFunc) {
	if n, err := strconv.Atoi(t.Headers[fieldMaxTries]); err == nil && n > 0 {
		t.MaxTries = n
	}
	if ms, err := strconv.ParseInt(t.Headers[fieldTimeout], 10, 64); err == nil && ms > 0 {
		timeout = time.Duration(ms) * time.Millisecond
	}
	if b, ok := backoffOf(t.Headers[fieldBackoff]); ok {
		backoff = b
	}
	for _, name := range []string{fieldMaxTries, fieldTimeout, fieldBackoff} {
		delete(t.Headers, name)
	}
	if len(t.Headers) == 0 {
		t.Headers = nil
	}
	return timeout, backoff
}

// noHandler is the error of a task of a kind that this worker has no handler for. The
// task comes back for a worker that has, later the longer it has waited.
func (w *Worker) noHandler(e *entry) error {
	kind := kindOf(e.fields)
	w.mu.Lock()
	known := w.unknown[kind]
	w.unknown[kind] = true
	w.mu.Unlock()
	if !known {
		w.o.Logger.Warn("queue: there is no handler for a kind of task: such tasks are left to other workers", "stream", e.part.name, "kind", kind)
	}
	var t TaskInfo
	t.read(e.fields)
	wait := min(max(time.Since(t.Published)/10, time.Second), time.Minute)
	return fmt.Errorf("no handler for the kind %q: %w", kind, Snooze(wait))
}

// finish notes how a handler ended, for the server to be told.
func (w *Worker) finish(ctx context.Context, e *entry, info *TaskInfo, took time.Duration, err error, backoff BackoffFunc) {
	if err == nil && w.o.OnDone != nil {
		w.o.OnDone(ctx, Event{Task: info, Took: took})
	}
	st := e.st
	w.mu.Lock()
	if info != nil {
		st.pace(took)
	}
	gone := e.state == lost
	switch {
	case gone: // another worker's: nothing is left to be said
		st.unhold(e)
	case err == nil:
		e.state = settling
		e.s.acks = append(e.s.acks, e)
		st.finished.Signal()
	case w.stopping: // interrupted: given back with all that is left
		e.state = unfinished
	default:
		e.state = settling
		e.failure = &failure{err, info, took, backoff}
		e.s.refusals = append(e.s.refusals, e)
		st.finished.Signal()
	}
	w.mu.Unlock()
	if gone {
		w.o.Logger.Warn("queue: a task was lost while it was in work: another worker does it, or it was cancelled", "stream", e.part.name, "id", e.id)
	}
}
