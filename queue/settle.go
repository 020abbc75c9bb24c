package queue

import (
	"slices"
	"strings"

	"holdfast/internal/blocking"
)

// idsAtOnce is how many ids one command has.
const idsAtOnce = 1000

// settle tells the server how tasks ended: all that finished while the last command was
// under way goes into the next. It also forgets the sessions that are over.
func (st *stream) settle() {
	var spare []*entry
	for {
		s, acks, refusals := st.due(spare)
		switch {
		case s == nil:
			st.release(st.left(st.sessions))
			return
		case len(acks)+len(refusals) > 0:
			for len(acks) > 0 {
				n := 1
				for n < len(acks) && n < idsAtOnce && acks[n].part == acks[0].part {
					n++
				}
				st.acknowledge(s, acks[:n])
				clear(acks[:n])
				acks = acks[n:]
			}
			for _, e := range refusals {
				st.refuse(e)
			}
		case s.used:
			st.release(st.left([]*session{s}))
			st.forget(s.consumer)
		}
	}
}

// due waits for something to settle: finished tasks of a session, or a session to
// forget. It is nil when all is done that can be.
func (st *stream) due(spare []*entry) (s *session, acks, refusals []*entry) {
	w := st.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for i, s := range st.sessions {
			if len(s.acks)+len(s.refusals) > 0 {
				acks, refusals = s.acks, s.refusals
				s.acks, s.refusals = spare, nil
				return s, acks, refusals
			}
			if s.ended && (s.held == 0 || st.closed && !st.atWork(s)) {
				st.sessions = slices.Delete(st.sessions, i, i+1)
				return s, nil, nil
			}
		}
		if st.closed {
			return nil, nil, nil
		}
		st.finished.Wait()
	}
}

// atWork tells whether a handler still has a task of a session. The caller has w.mu.
func (st *stream) atWork(s *session) bool {
	n := 0
	for e := st.entries.first(); e != nil; e = st.entries.after(e) {
		if e.s == s {
			if e.state == inWork {
				return true
			}
			n++
		}
	}
	return n < s.held // a handler of a lost task runs still
}

// acknowledge says that tasks of one part are done: those that are still the session's.
// A task that was lost meanwhile is another worker's to acknowledge.
func (st *stream) acknowledge(s *session, acks []*entry) {
	w := st.w
	args := make([]any, 0, len(acks)+5)
	args = append(args, "TASK.ACK", acks[0].part.name, w.o.Group)
	for _, e := range acks {
		args = append(args, e.id)
	}
	reply, resent, err := st.sendNoting(append(args, "CONSUMER", s.consumer)...)
	switch n, _ := reply.(int64); {
	case err != nil:
		w.o.Logger.Error("queue: finished tasks cannot be acknowledged: they are done again when their leases are over", "stream", st.key(), "tasks", len(acks), "error", err)
		if w.hard.Err() == nil {
			w.fail(st.key(), err)
		}
	case int(n) < len(acks) && !resent:
		w.o.Logger.Warn("queue: tasks were finished too late: others may do them again", "stream", st.key(), "tasks", len(acks)-int(n))
	}
	w.mu.Lock()
	for _, e := range acks {
		st.drop(e)
	}
	w.mu.Unlock()
}

// forget removes a consumer from all streams that the connection reads, and gives what it
// has to others.
func (st *stream) forget(consumer string) {
	for _, p := range st.active() {
		_, err := st.send("TASK.FORGET", p.name, st.w.o.Group, consumer)
		if err != nil && !strings.HasPrefix(err.Error(), "NOGROUP") && !strings.HasPrefix(err.Error(), "ERR no such key") {
			st.w.o.Logger.Warn("queue: a consumer cannot be removed: what it may have is given to others when the leases are over", "stream", p.name, "consumer", consumer, "error", err)
		}
	}
}

// send sends a command that does no harm twice, until it is answered, or the worker
// has ended.
func (st *stream) send(args ...any) (any, error) {
	reply, _, err := st.sendNoting(args...)
	return reply, err
}

func (st *stream) sendNoting(args ...any) (any, bool, error) {
	return sendNoting(st.w.hard, st.conns(), forever, true, args...)
}

// reasonLimit is how much of an error is kept with a dead letter, in bytes.
const reasonLimit = 4 << 10

// refuse tells the server that a task failed or was put off: in one step it is taken from this
// worker, and published again for later or buried.
func (st *stream) refuse(e *entry) {
	w, f := st.w, e.failure
	defer func() {
		w.mu.Lock()
		st.drop(e)
		w.mu.Unlock()
	}()
	args, retried := st.refusal(e)
	reply, err := st.send(args...)
	if err != nil {
		w.o.Logger.Error("queue: a failure cannot be told: the task is tried again when its lease is over", "stream", e.part.name, "id", e.id, "error", err)
		if w.hard.Err() == nil && !blocking.Passes(err) {
			w.fail(st.key(), err)
		}
		return
	}
	outcome, _ := reply.([]any)
	if f.info == nil || len(outcome) != 2 {
		return
	}
	event := Event{Task: f.info, Err: f.err, Took: f.took, In: retried}
	call := w.o.OnRetry
	if outcome[0] == "DEAD" {
		call, event.In = w.o.OnDead, 0
		w.o.Logger.Warn("queue: a task is a dead letter now", "stream", e.part.name, "id", f.info.ID, "kind", f.info.Kind, "try", f.info.Try, "dead", e.part.dead, "error", f.err)
	} else if decision, _ := Decide(f.err); decision == Retried {
		w.o.Logger.Info("queue: a task failed and is tried again", "stream", e.part.name, "id", f.info.ID, "kind", f.info.Kind, "try", f.info.Try, "in", retried, "error", f.err)
	}
	if call != nil {
		call(w.values, event)
	}
}
