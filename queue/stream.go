package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/blocking"
)

// stream is a stream that a worker takes tasks from. Its fields are the worker's,
// under its mutex.
type stream struct {
	w          *Worker
	q          *source
	name, dead string

	hungry   sync.Cond // there may be room for more
	finished sync.Cond // something is to be settled
	closed   bool
	over     chan struct{} // closed with it

	ahead    int        // how many may be taken beyond those in work
	least    int        // what that is at least, where it follows the pace of the tasks; else 0
	last     time.Time  // when tasks were last taken
	buffer   []*entry   // taken and not begun, in order
	entries  list       // all that the server believes this worker to have, in the order of their leases
	session  *session   // which takes
	sessions []*session // all that still have tasks
	made     int
}

// session is a consumer of the group: what one connection takes. When a reply may
// have been lost nobody knows what was in it; then another one takes over, and
// when all that is known of the old one is settled, it is forgotten, which gives the
// rest to whoever comes first.
type session struct {
	consumer string
	used     bool     // the server may know it
	held     int      // of its entries
	acks     []*entry // finished, and not acknowledged yet
	ended    bool
}

func newStream(w *Worker, q *source, name string) *stream {
	st := &stream{w: w, q: q, name: name, dead: deadOf(name), over: make(chan struct{})}
	st.hungry.L, st.finished.L = &w.mu, &w.mu
	st.entries.init()
	st.begin()
	return st
}

// begin begins another session. The caller has w.mu, or is alone.
func (st *stream) begin() {
	if st.session != nil {
		st.session.ended = true
		st.finished.Signal()
	}
	st.made++
	st.session = &session{consumer: fmt.Sprintf("%s:%d", st.w.name, st.made)}
	st.sessions = append(st.sessions, st.session)
}

// room is how many tasks to ask for: what idle goroutines could begin, shared with
// the other streams, and what may be taken ahead.
func (st *stream) room() int {
	n := len(st.w.all)
	return (st.w.idle+n-1)/n + st.ahead - len(st.buffer)
}

// hasRoom tells whether to ask: not for each single task, but when half of what
// may be taken ahead is used up.
func (st *stream) hasRoom() bool { return len(st.buffer) <= st.ahead/2 && st.room() > 0 }

// ahead0 takes the first of the buffer.
func (st *stream) ahead0() *entry {
	e := st.buffer[0]
	st.buffer[0] = nil
	if st.buffer = st.buffer[1:]; len(st.buffer) == 0 {
		st.buffer = nil
	}
	return e
}

const (
	// blockTime is how long TASK.CONSUME waits at most: in a cluster the node it
	// waits on may lose the slot, and nobody would tell.
	blockTime = 5 * time.Second

	// grace is how much longer a reply may take before the connection is given up.
	grace = 5 * time.Second

	// forever is longer than any outage.
	forever = time.Duration(1<<63 - 1)
)

// read takes tasks for as long as ctx lives.
func (st *stream) read(ctx context.Context) {
	var conn *blocking.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	var backoff blocking.Backoff
	down := false
	for {
		n, consumer, ok := st.want()
		if !ok {
			return
		}
		var err error
		if conn == nil {
			if conn, _, err = st.q.conns.Get(ctx, st.name); err == nil {
				conn.Waiting()
			}
		}
		if err == nil {
			var reply any
			sent := time.Now()
			reply, err = conn.Do(ctx, blockTime+grace, nil, st.consume(consumer, n)...)
			if !blocking.Refused(err) {
				st.w.mu.Lock()
				st.session.used = true
				st.w.mu.Unlock()
			}
			if reply != nil {
				if taken, perr := st.took(reply, n, sent); perr != nil && err == nil {
					err = perr
				} else if taken > 0 || err == nil {
					backoff = blocking.Backoff{}
				}
			}
		}
		if err == nil {
			if down {
				down = false
				st.w.o.Logger.Info("queue: tasks can be taken again", "stream", st.name)
			}
			continue
		}
		if conn != nil {
			conn.Close()
			conn = nil
			if !blocking.Refused(err) && ctx.Err() == nil {
				st.w.mu.Lock()
				st.begin()
				st.w.mu.Unlock()
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case !blocking.Passes(err):
			st.w.fail(st, err)
			return
		case !down:
			down = true
			st.w.o.Logger.Warn("queue: tasks cannot be taken, it is tried again", "stream", st.name, "error", err)
		}
		st.q.conns.Forget(ctx)
		backoff.Pause(ctx, forever)
	}
}

// want waits until there is room, and says for how many tasks and as which consumer
// to ask.
func (st *stream) want() (n int, consumer string, ok bool) {
	w := st.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.draining && !st.hasRoom() {
		st.hungry.Wait()
	}
	return st.room(), st.session.consumer, !w.draining
}

func (st *stream) consume(consumer string, n int) []any {
	o := &st.w.o
	return []any{
		"TASK.CONSUME", o.Group, consumer, st.name, n, blockTime.Milliseconds(),
		"LEASE", blocking.Millis(o.Lease), "MAXDELIVERIES", o.MaxDeliveries, "DEAD", st.dead,
	}
}

// took puts what was taken where handlers find it. The leases run from the
// delivery, which was after the request was sent.
func (st *stream) took(reply any, asked int, sent time.Time) (int, error) {
	tasks, err := entriesOf(reply)
	if err != nil {
		return 0, err
	}
	all := make([]entry, len(tasks)) // at once: they come and go together
	w := st.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, task := range tasks {
		e := &all[i]
		parts, _ := task.([]any)
		if len(parts) == 2 {
			e.id = parts[0]
			e.fields, _ = parts[1].([]any)
		}
		if _, ok := e.id.(string); !ok {
			return i, fmt.Errorf("TASK.CONSUME answered %v", task)
		}
		e.st, e.s, e.leased = st, st.session, sent
		st.entries.push(e)
		st.session.held++
		st.buffer = append(st.buffer, e)
	}
	st.pace(len(tasks) == asked)
	if len(tasks) == 1 {
		w.ready.Signal()
	} else {
		w.ready.Broadcast()
	}
	return len(tasks), nil
}

// pace has more taken ahead while there is more and tasks end sooner than they can be
// fetched, and less again when they do not. The caller has w.mu.
func (st *stream) pace(more bool) {
	now := time.Now()
	took := now.Sub(st.last)
	st.last = now
	switch {
	case st.least == 0 || !more:
	case took < 5*time.Millisecond:
		st.ahead = min(2*st.ahead, 10*st.least)
	case took > 50*time.Millisecond:
		st.ahead = max(st.ahead/2, st.least)
	}
}

// entriesOf are the entries of the one stream in a reply of TASK.CONSUME.
func entriesOf(reply any) ([]any, error) {
	if all, ok := reply.([]any); ok && len(all) == 1 {
		if one, ok := all[0].([]any); ok && len(one) == 2 {
			if tasks, ok := one[1].([]any); ok {
				return tasks, nil
			}
		}
	}
	return nil, fmt.Errorf("TASK.CONSUME answered %v", reply)
}

// drop takes an entry off the books. The caller has w.mu.
func (st *stream) drop(e *entry) {
	if e.off() {
		return
	}
	st.entries.remove(e)
	if e.s.held--; e.s.held == 0 {
		st.finished.Signal()
	}
}

// interrupt ends the contexts of the handlers and tells how many there are. The
// caller has w.mu.
func (st *stream) interrupt(cause error) (n int) {
	for e := st.entries.first(); e != nil; e = st.entries.after(e) {
		if e.state == inWork {
			e.cancel(cause)
			n++
		}
	}
	return n
}

// close ends the last session: what is finished is settled still, and the rest
// given back.
func (st *stream) close() {
	st.w.mu.Lock()
	defer st.w.mu.Unlock()
	st.closed = true
	st.session.ended = true
	st.finished.Signal()
	close(st.over)
}
