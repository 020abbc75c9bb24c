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
	for e := st.entries.first(); e != nil && len(tasks) < idsAtOnce && time.Since(e.leased) >= w.o.Lease/3; e = st.entries.after(e) {
		if len(tasks) == 0 || tasks[0].s == e.s && tasks[0].part == e.part {
			tasks = append(tasks, e)
		}
	}
	w.mu.Unlock()
	if len(tasks) == 0 {
		return false
	}
	head := []any{"TASK.EXTEND", tasks[0].part.name, w.o.Group, tasks[0].s.consumer}
	args := slices.Grow(slices.Clip(head), len(tasks))
	for _, e := range tasks {
		args = append(args, e.id)
	}
	sent := time.Now()
	reply, err := st.sendRenewal(args...)
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

// sendRenewal sends a renewal over a connection of the worker's own, and within a time that
// leaves some more tries: a connection that does not answer must not cost the lease.
func (st *stream) sendRenewal(args ...any) (any, error) {
	return st.conns().Do(st.w.hard, max(st.w.o.Lease/6, time.Millisecond), st.key(), args...)
}

// extendEach renews leases one by one, to find which are lost.
func (st *stream) extendEach(head []any, tasks []*entry) bool {
	w := st.w
	for _, e := range tasks {
		sent := time.Now()
		reply, err := st.sendRenewal(append(slices.Clip(head), e.id)...)
		if err != nil {
			return false
		}
		w.mu.Lock()
		// What is finished may be acknowledged by now.
		if reply == int64(1) || e.state == settling || e.state == unfinished {
			st.extended(e, sent)
		} else {
			st.lose(e)
		}
		w.mu.Unlock()
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

// margin is how long before the end of its lease a task is given up, by this machine's
// clock.
func (st *stream) margin() time.Duration { return st.w.o.Lease / 20 }

// expire ends the work on tasks whose leases could not be renewed in time, before another
// worker can begin them, until the stream is closed.
func (st *stream) expire() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-st.over:
			return
		case <-timer.C:
		}
		timer.Reset(st.loseExpired())
	}
}

// loseExpired takes away the tasks whose leases are over, and tells when to look again: no
// lease that is begun or renewed meanwhile ends sooner.
func (st *stream) loseExpired() time.Duration {
	whole := st.w.o.Lease - st.margin()
	st.w.mu.Lock()
	defer st.w.mu.Unlock()
	for e := st.entries.first(); e != nil; {
		if left := whole - time.Since(e.leased); left > 0 {
			return left
		}
		next := st.entries.after(e)
		if e.state == inWork || e.state == buffered {
			st.lose(e)
		}
		e = next
	}
	return whole - blockFor(st.w.o.Lease)
}

// lose takes away a task that another worker has or may have. The caller has w.mu.
func (st *stream) lose(e *entry) {
	if e.off() {
		return
	}
	st.entries.remove(e)
	switch e.state {
	case inWork:
		e.cancel(ErrLost) // its session has the task on its books until the handler returns
	case buffered:
		st.buffer = slices.DeleteFunc(st.buffer, func(b *entry) bool { return b == e })
		st.unhold(e)
		st.demand.Signal()
	default:
		st.unhold(e)
	}
	e.state = lost
}
