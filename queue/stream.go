package queue

import (
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

	demand   sync.Cond // there may be room for more
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
	st.demand.L, st.finished.L = &w.mu, &w.mu
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
	// aheadTime is how much work a worker takes ahead by itself: as much as its goroutines do in
	// that time, which a round trip is worth.
	aheadTime = 2 * time.Millisecond

	// bufferTime is how long a task may wait in the buffer before it is given to others.
	bufferTime = 20 * time.Millisecond
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
