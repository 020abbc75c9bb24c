package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/blocking"
)

// stream is what one connection of a worker takes tasks from: a stream with its retries,
// or by Strict those of several queues. Its fields are guarded by the worker's mutex.
type stream struct {
	w     *Worker
	parts []*part // in the order in which they are looked at

	hungry   sync.Cond // there may be room for more
	finished sync.Cond // something is to be settled
	closed   bool
	over     chan struct{} // closed with it

	ahead    int           // how many may be taken beyond those in work
	share    int           // of Concurrency, where ahead adapts; else 0
	average  time.Duration // how long handlers took lately
	buffer   []*entry      // taken and not begun, in order
	stale    *time.Timer   // gives back what waits for too long in the buffer
	entries  entryList     // all that the server believes this worker to have, in the order of their leases
	session  *session      // which takes
	sessions []*session    // all that still have tasks
	made     int
}

// part is one stream among those that a connection reads.
type part struct {
	q     *source
	main  string // the queue's stream
	name  string // main, or its retry stream
	dead  string
	retry string
	on    bool // whether it is read; the main one always is
}

// session is a consumer of the group: what one connection takes. When a reply may
// have been lost nobody knows which tasks were in it; then another session takes over, and
// when all known tasks of the old one are settled, its consumer is forgotten, which
// gives the unknown ones to whoever comes first.
type session struct {
	consumer string
	used     bool     // the server may know it
	held     int      // of its entries, and handlers of lost ones
	acks     []*entry // finished, and not acknowledged yet
	refusals []*entry // failed, and not told yet
	ended    bool
}

func newStream(w *Worker, q *source, name string) *stream {
	st := &stream{w: w, over: make(chan struct{})}
	st.hungry.L, st.finished.L = &w.mu, &w.mu
	st.entries.init()
	st.add(q, name)
	st.begin()
	st.stale = time.AfterFunc(time.Hour, st.giveBackStale)
	st.stale.Stop()
	return st
}

// add has the stream read a queue's stream, its retries first: they are the older tasks.
func (st *stream) add(q *source, name string) {
	group := st.w.o.Group
	p := part{q: q, main: name, name: name, dead: DeadStream(name, group), retry: RetryStream(name, group), on: true}
	retries := p
	retries.name, retries.on = p.retry, false
	st.parts = append(st.parts, &retries, &p)
}

// conns and key are how the stream is reached.
func (st *stream) conns() *blocking.Pool { return st.parts[1].q.conns }
func (st *stream) key() string           { return st.parts[1].name }

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

// pop takes the first of the buffer.
func (st *stream) pop() *entry {
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

// blockFor is how long TASK.CONSUME waits: short beside the lease, because nobody knows
// when within that time a task was delivered.
func blockFor(lease time.Duration) time.Duration {
	return max(min(blockTime, lease/3), time.Millisecond)
}

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
			if conn, _, err = st.conns().Get(ctx, st.key()); err == nil {
				conn.Waiting()
			}
		}
		if err == nil {
			var reply any
			sent := time.Now()
			reply, err = conn.Do(ctx, blockFor(st.w.o.Lease)+grace, nil, st.consume(consumer, n)...)
			if !blocking.Refused(err) {
				st.w.mu.Lock()
				st.session.used = true
				st.w.mu.Unlock()
			}
			if reply != nil {
				if taken, perr := st.took(reply, sent); perr != nil && err == nil {
					err = perr
				} else if taken > 0 || err == nil {
					backoff = blocking.Backoff{}
				}
			}
		}
		if err == nil {
			if down {
				down = false
				st.w.o.Logger.Info("queue: tasks can be taken again", "stream", st.key())
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
			st.w.fail(st.key(), err)
			return
		case !down:
			down = true
			st.w.o.Logger.Warn("queue: tasks cannot be taken, the worker tries again", "stream", st.key(), "error", err)
		}
		st.conns().Forget(ctx)
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
	o, names := &st.w.o, st.active()
	args := append(make([]any, 0, 16), "TASK.CONSUME", o.Group, consumer, names[0].name, n, blockFor(o.Lease).Milliseconds(),
		"LEASE", blocking.Millis(o.Lease), "MAXDELIVERIES", o.MaxDeliveries, "DEAD", st.parts[1].dead)
	if also := names[1:]; len(also) > 0 {
		args = append(args, "ALSO", len(also))
		for _, p := range also {
			args = append(args, p.name)
		}
	}
	return args
}

// active are the parts that are read, in their order.
func (st *stream) active() (all []*part) {
	st.w.mu.Lock()
	defer st.w.mu.Unlock()
	for _, p := range st.parts {
		if p.on {
			all = append(all, p)
		}
	}
	return all
}

// took puts what was taken where handlers find it. The leases run from the
// delivery, which was after the request was sent.
func (st *stream) took(reply any, sent time.Time) (taken int, err error) {
	lists, _ := reply.([]any)
	if len(lists) == 0 {
		return 0, fmt.Errorf("TASK.CONSUME answered %v", reply)
	}
	w := st.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(sent) >= w.o.Lease-st.margin() {
		return 0, nil // the reply came so late that others may have the tasks
	}
	for _, list := range lists {
		one, _ := list.([]any)
		if len(one) != 2 {
			return taken, fmt.Errorf("TASK.CONSUME answered %v", list)
		}
		tasks, _ := one[1].([]any)
		p := st.partOf(one[0])
		if p == nil {
			return taken, fmt.Errorf("TASK.CONSUME answered tasks of %v", one[0])
		}
		all := make([]entry, len(tasks)) // at once: they come and go together
		for i, task := range tasks {
			e := &all[i]
			parts, _ := task.([]any)
			if len(parts) == 2 {
				e.id = parts[0]
				e.fields, _ = parts[1].([]any)
			}
			if _, ok := e.id.(string); !ok {
				return taken, fmt.Errorf("TASK.CONSUME answered %v", task)
			}
			e.st, e.part, e.s, e.leased = st, p, st.session, sent
			st.entries.push(e)
			st.session.held++
			st.buffer = append(st.buffer, e)
			taken++
		}
	}
	if taken == 1 {
		w.ready.Signal()
	} else {
		w.ready.Broadcast()
	}
	if w.o.Prefetch <= 0 && (taken > w.idle || len(w.all) > 1) {
		st.stale.Reset(patience)
	}
	return taken, nil
}

func (st *stream) partOf(name any) *part {
	if len(st.parts) == 2 && name == st.parts[1].name {
		return st.parts[1]
	}
	for _, p := range st.parts {
		if name == p.name {
			return p
		}
	}
	return nil
}

const (
	// aheadTime is how much work a worker takes ahead by itself: as much as its goroutines do in
	// that time, which a round trip is worth.
	aheadTime = 2 * time.Millisecond

	// patience is how long a task may wait in the buffer before it is given to others.
	patience = 20 * time.Millisecond
)

// pace notes how long a handler took, and adapts how many tasks are taken ahead. The
// caller has w.mu.
func (st *stream) pace(took time.Duration) {
	if st.share == 0 {
		return
	}
	st.average += (took - st.average) / 8
	if st.average > 2*aheadTime {
		st.ahead = 0
		return
	}
	st.ahead = min(int(time.Duration(st.share)*aheadTime/max(st.average, time.Microsecond)), 10*st.share)
}

// drop takes an entry off the books. The caller has w.mu.
func (st *stream) drop(e *entry) {
	if e.off() {
		return
	}
	st.entries.remove(e)
	st.unhold(e)
}

// unhold notes that a session has one task less. The caller has w.mu.
func (st *stream) unhold(e *entry) {
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
	st.stale.Stop()
	st.finished.Signal()
	close(st.over)
}
