package queue

import (
	"strings"
	"time"

	"holdfast/internal/blocking"
)

// refusal is the command that refuses a task, and how long the task then waits for its
// next try.
func (st *stream) refusal(e *entry) (args []any, wait time.Duration) {
	w, f := st.w, e.failure
	reason := f.err.Error()
	if len(reason) > reasonLimit {
		reason = strings.ToValidUTF8(reason[:reasonLimit], "")
	}
	args = []any{"TASK.NACK", e.part.name, w.o.Group, e.s.consumer, e.id}
	decision, wait := Decide(f.err)
	retries := 0 // of Discard
	if f.info != nil {
		retries = max(f.info.MaxTries-1, 0)
	}
	switch {
	case decision == Snoozed:
		args = append(args, "DELAY", delayMillis(wait), "NOCOUNT")
	case decision == Discarded:
		args = append(args, "REASON", reason, "MAXRETRIES", 0, "DEAD", e.part.dead)
	default:
		if wait < 0 {
			wait = max(f.backoff(f.info.Try, f.err), 0)
		}
		args = append(args, "REASON", reason, "DELAY", delayMillis(wait), "MAXRETRIES", retries, "DEAD", e.part.dead)
	}
	if decision != Discarded && e.part.name == e.part.main {
		if to := st.retryTarget(e.part); to != e.part.name {
			args = append(args, "TO", to)
		}
	}
	return args, wait
}

// delayMillis is how long a retry waits, in milliseconds; 0 is not at all.
func delayMillis(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return blocking.Millis(d)
}

// retryTarget is the stream that a retry of a main stream goes to: the group's own if other
// groups would be given the retry too. From then on the worker reads it.
func (st *stream) retryTarget(p *part) string {
	several, err := hasSeveralGroups(st.w.hard, p.q.conns, p.main)
	if err != nil { // without the right to ask, or with no answer: as it was last seen
		st.w.mu.Lock()
		defer st.w.mu.Unlock()
		several = st.retries(p).on
	}
	if !several {
		return p.main
	}
	st.w.mu.Lock()
	defer st.w.mu.Unlock()
	st.retries(p).on = true
	return p.retry
}

// retries is the part of a main stream's retries. The caller has w.mu.
func (st *stream) retries(p *part) *part {
	for _, r := range st.parts {
		if r.name == p.retry && r.main == p.main {
			return r
		}
	}
	return p
}
