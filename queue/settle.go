package queue

import (
	"slices"
	"strings"
)

// most is how many ids one command has.
const most = 1000

// settle acknowledges what is finished: all that came together while the last
// command was under way goes into the next. It also forgets the sessions that are
// over.
func (st *stream) settle() {
	var spare []*entry
	for {
		s, acks := st.due(spare)
		switch {
		case s == nil:
			st.giveUp()
			return
		case len(acks) == 0:
			if s.used {
				st.forget(s.consumer)
			}
		default:
			for part := range slices.Chunk(acks, most) {
				st.acknowledge(s, part)
			}
			clear(acks)
			spare = acks[:0]
		}
	}
}

// due waits for something to settle: finished tasks of a session, or a session to
// forget. It is nil when all is done that can be.
func (st *stream) due(spare []*entry) (*session, []*entry) {
	w := st.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for i, s := range st.sessions {
			if acks := s.acks; len(acks) > 0 {
				s.acks = spare
				return s, acks
			}
			if s.ended && (s.held == 0 || st.closed && !st.atWork(s)) {
				st.sessions = slices.Delete(st.sessions, i, i+1)
				return s, nil
			}
		}
		if st.closed {
			return nil, nil
		}
		st.finished.Wait()
	}
}

// atWork tells whether a handler still has a task of a session. The caller has w.mu.
func (st *stream) atWork(s *session) bool {
	for e := st.entries.first(); e != nil; e = st.entries.after(e) {
		if e.s == s && e.state == inWork {
			return true
		}
	}
	return false
}

// acknowledge says that tasks are done: those that are still the session's. One
// that was lost meanwhile is another's to acknowledge.
func (st *stream) acknowledge(s *session, acks []*entry) {
	w := st.w
	args := make([]any, 0, len(acks)+5)
	args = append(args, "TASK.ACK", st.name, w.o.Group)
	for _, e := range acks {
		args = append(args, e.id)
	}
	reply, err := st.send(append(args, "CONSUMER", s.consumer)...)
	switch n, _ := reply.(int64); {
	case err != nil:
		w.o.Logger.Error("queue: finished tasks cannot be acknowledged: they are done again when their leases are over", "stream", st.name, "tasks", len(acks), "error", err)
		if w.hard.Err() == nil {
			w.fail(st, err)
		}
	case int(n) < len(acks):
		w.o.Logger.Warn("queue: tasks were finished too late, others may do them again; or their acknowledgement took two tries", "stream", st.name, "tasks", len(acks)-int(n))
	}
	w.mu.Lock()
	for _, e := range acks {
		st.drop(e)
	}
	w.mu.Unlock()
}

// forget removes a consumer and gives what it has to others.
func (st *stream) forget(consumer string) {
	_, err := st.send("TASK.FORGET", st.name, st.w.o.Group, consumer)
	if err != nil && !strings.HasPrefix(err.Error(), "NOGROUP") && !strings.HasPrefix(err.Error(), "ERR no such key") {
		st.w.o.Logger.Warn("queue: a consumer cannot be removed: what it may have is given to others when the leases are over", "stream", st.name, "consumer", consumer, "error", err)
	}
}

// giveBack gives to others what no handler has begun.
func (st *stream) giveBack() {
	st.w.mu.Lock()
	buffered := st.buffer
	st.buffer = nil
	st.w.mu.Unlock()
	st.release(buffered)
}

// giveUp gives to others what handlers did not finish, except those that are
// running still: their tasks' leases run out.
func (st *stream) giveUp() {
	var all []*entry
	st.w.mu.Lock()
	for e := st.entries.first(); e != nil; e = st.entries.after(e) {
		if e.state != inWork && len(st.sessions) > 0 && slices.Contains(st.sessions, e.s) {
			all = append(all, e)
		}
	}
	st.w.mu.Unlock()
	st.release(all)
}

// release makes tasks available to others at once, while the session they belong to
// goes on: they move to another consumer, which is forgotten. XCLAIM asks nobody;
// so it is made sure before that the tasks are this worker's, for a whole lease.
func (st *stream) release(tasks []*entry) {
	group := st.w.o.Group
	for len(tasks) > 0 {
		s, n := tasks[0].s, 1
		for n < len(tasks) && n < most && tasks[n].s == s {
			n++
		}
		part := tasks[:n]
		tasks = tasks[n:]
		ids := make([]any, n)
		for i, e := range part {
			ids[i] = e.id
		}
		reply, err := st.send(slices.Concat([]any{"TASK.EXTEND", st.name, group, s.consumer}, ids)...)
		if err != nil || reply != int64(n) {
			continue // with the session
		}
		rest := s.consumer + ":rest"
		claim := slices.Concat([]any{"XCLAIM", st.name, group, rest, 0}, ids, []any{"JUSTID"})
		if _, err := st.send(claim...); err != nil {
			continue
		}
		st.forget(rest)
		st.w.mu.Lock()
		for _, e := range part {
			st.drop(e)
		}
		st.w.mu.Unlock()
	}
}

// send sends a command that does no harm twice, until it is answered, or the worker
// has ended.
func (st *stream) send(args ...any) (any, error) {
	return send(st.w.hard, st.q.conns, forever, true, args...)
}
