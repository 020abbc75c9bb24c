package queue

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

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
		st.demand.Wait()
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

// took puts the tasks of a reply into the buffer. Their leases are counted from when the
// request was sent: the server delivered them later than that.
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
		st.stale.Reset(bufferTime)
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
