package queue

import (
	"context"
	"slices"
	"time"
)

// giveBack gives to others what no handler has begun.
func (st *stream) giveBack() {
	st.w.mu.Lock()
	tasks := st.buffer
	st.buffer = nil
	st.w.mu.Unlock()
	st.release(tasks)
}

// giveBackStale gives to others what has waited for too long in the buffer, while
// handlers are busy.
func (st *stream) giveBackStale() {
	w := st.w
	w.mu.Lock()
	if w.draining || len(st.buffer) == 0 {
		w.mu.Unlock()
		return
	}
	tasks := st.buffer
	st.buffer, st.ahead = nil, 0
	st.average = max(st.average, bufferTime)
	w.giving.Add(1) // before draining is set: drain waits for it
	w.mu.Unlock()
	defer w.giving.Done()
	st.release(tasks)
}

// left are the tasks of sessions that no handler is working on, and that were not
// settled. What runs still keeps its lease until that is over.
func (st *stream) left(sessions []*session) (all []*entry) {
	st.w.mu.Lock()
	defer st.w.mu.Unlock()
	for e := st.entries.first(); e != nil; e = st.entries.after(e) {
		if e.state != inWork && slices.Contains(sessions, e.s) {
			all = append(all, e)
		}
	}
	return all
}

// release makes tasks available to others at once, while the session they belong to
// goes on: they move to another consumer, which is forgotten. Their count of
// deliveries is what it was before.
func (st *stream) release(tasks []*entry) {
	for len(tasks) > 0 {
		n := 1
		for n < len(tasks) && n < idsAtOnce && tasks[n].s == tasks[0].s && tasks[n].part == tasks[0].part {
			n++
		}
		st.releaseSome(tasks[:n])
		tasks = tasks[n:]
	}
}

// releaseSome releases tasks of one session and part. XCLAIM asks nobody: so it is made
// sure before that the tasks are this worker's, and for some time to come.
func (st *stream) releaseSome(tasks []*entry) {
	group, p, s := st.w.o.Group, tasks[0].part, tasks[0].s
	commands := make([][]any, len(tasks))
	for i, e := range tasks {
		commands[i] = []any{"XPENDING", p.name, group, e.id, e.id, 1, s.consumer}
	}
	replies, errs := st.conns().SendAll(st.w.hard, commands)
	byDeliveries := map[int][]*entry{}
	for i, e := range tasks {
		// What is not this worker's any more is settled with the session.
		if list, err := pendingOf(replies[i], errs[i]); err == nil && len(list) == 1 && list[0].idle < st.w.o.Lease/2 {
			byDeliveries[list[0].deliveries] = append(byDeliveries[list[0].deliveries], e)
		}
	}
	rest := s.consumer + ":rest"
	moved := false
	for deliveries, some := range byDeliveries {
		claim := []any{"XCLAIM", p.name, group, rest, 0}
		for _, e := range some {
			claim = append(claim, e.id)
		}
		if _, err := st.send(append(claim, "RETRYCOUNT", max(deliveries-1, 0), "JUSTID")...); err != nil {
			continue
		}
		moved = true
		st.w.mu.Lock()
		for _, e := range some {
			st.drop(e)
		}
		st.w.mu.Unlock()
	}
	if moved {
		st.forget(rest)
	}
}

// deliveries asks how often an entry was given to a worker.
func (e *entry) deliveries(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list, err := pendingOf(e.st.conns().Send(ctx, "XPENDING", e.part.name, e.st.w.o.Group, e.id, e.id, 1))
	if err == nil && len(list) != 1 {
		err = ErrLost
	}
	if err != nil {
		return 0, failed("ask for the deliveries of a task of", e.part.name, err)
	}
	return list[0].deliveries, nil
}
