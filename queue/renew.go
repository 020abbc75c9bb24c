package queue

import (
	"slices"
	"time"
)

// renew renews the leases of all tasks that the worker has, in work or not, until
// the stream is closed: at a third to a half of the lease, so that there is time to
// try again. Tasks that are finished sooner cost nothing.
func (st *stream) renew() {
	tick := time.NewTicker(max(st.w.o.Lease/6, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-st.over:
			return
		case <-tick.C:
		}
		for st.extend() {
		}
	}
}

// extend renews the oldest leases of a session, and tells whether there may be more.
func (st *stream) extend() bool {
	w := st.w
	w.mu.Lock()
	var tasks []*entry
	for e := st.entries.first(); e != nil && len(tasks) < most && time.Since(e.leased) >= w.o.Lease/3; e = st.entries.after(e) {
		if len(tasks) == 0 || tasks[0].s == e.s {
			tasks = append(tasks, e)
		}
	}
	w.mu.Unlock()
	if len(tasks) == 0 {
		return false
	}
	head := []any{"TASK.EXTEND", st.name, w.o.Group, tasks[0].s.consumer}
	args := slices.Grow(slices.Clip(head), len(tasks))
	for _, e := range tasks {
		args = append(args, e.id)
	}
	sent := time.Now()
	reply, err := st.q.conns.Send(w.hard, args...)
	if err != nil {
		return false
	}
	if reply == int64(len(tasks)) {
		w.mu.Lock()
		for _, e := range tasks {
			st.extended(e, sent)
		}
		w.mu.Unlock()
		return true
	}
	return st.extendEach(head, tasks)
}

// extendEach renews leases one by one, to find which are lost.
func (st *stream) extendEach(head []any, tasks []*entry) bool {
	w := st.w
	commands := make([][]any, len(tasks))
	for i, e := range tasks {
		commands[i] = append(slices.Clip(head), e.id)
	}
	sent := time.Now()
	replies, errs := st.q.conns.SendAll(w.hard, commands)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range tasks {
		switch {
		case errs[i] != nil:
			return false
		case replies[i] == int64(1), e.state == done, e.state == unfinished: // what is done may be acknowledged by now
			st.extended(e, sent)
		default:
			st.lose(e)
		}
	}
	return true
}

// extended notes that a lease was renewed. The caller has w.mu.
func (st *stream) extended(e *entry, sent time.Time) {
	if !e.off() {
		st.entries.remove(e)
		e.leased = sent
		st.entries.push(e)
	}
}

// lose takes away a task that is another worker's. The caller has w.mu.
func (st *stream) lose(e *entry) {
	if e.off() {
		return
	}
	switch e.state {
	case inWork:
		e.cancel(ErrLost)
	case waiting:
		st.buffer = slices.DeleteFunc(st.buffer, func(b *entry) bool { return b == e })
		st.hungry.Signal()
	}
	e.state = lost
	st.drop(e)
}
