package dispatch

import "holdfast/internal/deadline"

// Walk remembers of one group's pending list how old its oldest delivery can be,
// so that asking for leases that ran out costs nothing while none can have.
//
// The list is ordered by id, not by time, and may hold millions: to find the
// oldest delivery it has to be walked. A walk is made in bounded steps, as many
// callbacks as it takes, and only when some lease may really have run out: the
// next walk is due when the oldest delivery that the last one met has had its
// lease. Where tasks take nearly as long as their lease that is soon.
//
// A delivery dated back by another client (XCLAIM with IDLE or TIME) is found by
// the next walk, at most one lease late. The zero value knows nothing.
type Walk struct {
	since   int64 // no pending task was delivered before; 0 when not known
	walking bool
	oldest  int64 // of what the walk left where it is, and of its own begin
	cursor  ID
}

// Due is the earliest time at which a lease of that many milliseconds may have
// run out.
func (h *Walk) Due(lease int64) int64 { return deadline.After(h.since, lease) }

// Step begins a walk at now, or goes on with the one under way. The next step
// reads the pending list from the first id above after.
func (h *Walk) Step(now int64) (after ID) {
	if !h.walking {
		*h = Walk{since: h.since, walking: true, oldest: now}
	}
	return h.cursor
}

// Passed says that the walk is beyond the task of that id, which is not with
// anyone any more or was delivered only just now.
func (h *Walk) Passed(id ID) { h.cursor = id }

// Stays says that the walk is beyond a task that stays where it is.
func (h *Walk) Stays(id ID, delivered int64) {
	h.cursor = id
	h.oldest = min(h.oldest, delivered)
}

// Done says that the walk has come to the end of the list: whatever is pending
// now was passed, or was delivered since the walk began.
func (h *Walk) Done() { *h = Walk{since: h.oldest} }

// Walking tells whether a walk is under way.
func (h *Walk) Walking() bool { return h.walking }
