package dispatch

// Horizon remembers of one group's pending list how old its oldest delivery can
// be, so that asking for leases that ran out costs nothing while none can have.
//
// The list is ordered by id, not by time, and may hold millions: to find the
// oldest delivery it has to be walked. A walk is made in bounded steps, as many
// callbacks as it takes, and only when some lease may really have run out: a
// group whose tasks are done in time is walked once per lease.
//
// A delivery dated back by another client (XCLAIM with IDLE or TIME) is found by
// the next walk, at most one lease late. The zero value knows nothing.
type Horizon struct {
	since   int64 // no pending task was delivered before; 0 when not known
	walking bool
	oldest  int64 // of what the walk left where it is, and of its own begin
	cursor  ID
}

// Due is the earliest time at which a lease of that many milliseconds may have
// run out.
func (h *Horizon) Due(lease int64) int64 { return h.since + lease }

// Walk begins a walk at now, or goes on with the one under way. The next step
// reads the pending list from the first id above after.
func (h *Horizon) Walk(now int64) (after ID) {
	if !h.walking {
		*h = Horizon{since: h.since, walking: true, oldest: now}
	}
	return h.cursor
}

// Passed says that the walk is beyond the task of that id, which is not with
// anyone any more or was delivered only just now.
func (h *Horizon) Passed(id ID) { h.cursor = id }

// Stays says that the walk is beyond a task that stays where it is.
func (h *Horizon) Stays(id ID, delivered int64) {
	h.cursor = id
	h.oldest = min(h.oldest, delivered)
}

// Done says that the walk has come to the end of the list: whatever is pending
// now was passed, or was delivered since the walk began.
func (h *Horizon) Done() { *h = Horizon{since: h.oldest} }

// Walking tells whether a walk is under way.
func (h *Horizon) Walking() bool { return h.walking }
