// Package dispatch decides who is given a task, and when to look again. It
// holds who waits where, knows when leases may have run out and delayed tasks
// fall due, and says how long a retry waits. It touches no server: the caller
// does to the streams what is decided here and says what it found.
//
// Times are unix milliseconds and always given. Nothing here is safe for
// concurrent use; in the server everything runs on one thread.
package dispatch

import (
	"holdfast/internal/deadline"
	"holdfast/modules/internal/waitq"
)

// maxIdle is how many groups without a waiter are remembered. What is known of
// such a group are hints alone, found again at the price of one walk over its
// pending list; without a bound, groups named once would be kept for ever.
const maxIdle = 4096

// Table is all the dispatching a server does. The zero value is not ready: use
// NewTable.
type Table struct {
	// Forgotten, if set, hears of each group that the table forgets or whose
	// beliefs end, before they do; Dropped of each stream that it forgets.
	Forgotten func(*Group)
	Dropped   func(*Queue)

	queues  map[Key]*Queue
	found   *Queue              // the last one that was looked for: a command looks several times
	idle    waitq.Queue[*Group] // groups nobody waits in, least recently used first
	looks   deadline.Heap[*Queue]
	tickets uint64
	waiting int
	unseen  []Handout
}

// NewTable is an empty table.
func NewTable() *Table { return &Table{queues: map[Key]*Queue{}} }

// Find is the stream's queue if anything is known of it, else nil. It does not
// allocate: publishing to a stream where nobody waits costs one look-up.
func (t *Table) Find(db int, stream []byte) *Queue {
	if q := t.found; q != nil && q.DB == db && q.Stream == string(stream) {
		return q
	}
	q := t.queues[Key{db, string(stream)}]
	if q != nil {
		t.found = q
	}
	return q
}

// Queue is the stream's queue, made when it is not there.
func (t *Table) Queue(db int, stream []byte) *Queue {
	if q := t.Find(db, stream); q != nil {
		return q
	}
	q := &Queue{Key: Key{db, string(stream)}, groups: map[string]*Group{}}
	q.look.Value = q
	t.queues[q.Key] = q
	return q
}

// Group is a group of the stream, made when it is not there. The most recent
// maxIdle groups stay valid; an older one without waiters may be forgotten.
func (t *Table) Group(q *Queue, name []byte) *Group {
	g := q.Group(name)
	if g == nil {
		g = &Group{Queue: q, Name: string(name), groupBeliefs: unbelieved}
		g.idle.Waiter = g
		q.groups[g.Name] = g
	}
	if g.Waiting() == 0 {
		g.idle.Leave()
		t.idle.Push(&g.idle)
		if t.idle.Len() > maxIdle {
			old := t.idle.Front().Waiter
			t.forget(old)
			t.drop(old.Queue)
		}
	}
	return g
}

func (t *Table) forget(g *Group) {
	t.forgotten(g)
	g.idle.Leave()
	delete(g.Queue.groups, g.Name)
	if g.Queue.found == g {
		g.Queue.found = nil
	}
}

func (t *Table) forgotten(g *Group) {
	if t.Forgotten != nil {
		t.Forgotten(g)
	}
}

// drop forgets a queue of which nothing is worth knowing.
func (t *Table) drop(q *Queue) {
	if len(q.groups) == 0 && q.Trusted && q.NextDue() == 0 && q.Keys.Empty() && t.queues[q.Key] == q {
		t.looks.Remove(&q.look)
		delete(t.queues, q.Key)
		if t.found == q {
			t.found = nil
		}
		q.Keys.Recall()
		if t.Dropped != nil {
			t.Dropped(q)
		}
	}
}

// Distrust ends all that is believed of a stream, and keeps who waits. The queue
// is looked at now.
func (t *Table) Distrust(q *Queue, now int64) {
	for _, g := range q.groups {
		t.forgotten(g)
		g.groupBeliefs = unbelieved
	}
	q.believe(streamBeliefs{})
	t.LookAt(q, now)
}

// DistrustAll distrusts every stream of a database, of all when db is negative.
// Replaced says that they are gone, or other ones now.
func (t *Table) DistrustAll(db int, now int64, replaced bool) {
	for _, q := range t.queues {
		if db < 0 || q.DB == db {
			t.Distrust(q, now)
			if replaced {
				t.Vanished(q)
			}
		}
	}
}

// Vanished says that there is no such stream any more. Groups that nobody waits
// in are forgotten, and the others count from 0.
func (t *Table) Vanished(q *Queue) {
	q.Done = nil
	for _, g := range q.groups {
		g.Counters = Counters{}
		if g.Waiting() == 0 {
			t.forget(g)
		}
	}
}

// ForgetAll forgets every stream in which nobody waits.
func (t *Table) ForgetAll() {
	for _, q := range t.queues {
		if len(q.waitedIn) == 0 {
			q.believe(streamBeliefs{Trusted: true})
			t.Vanished(q)
			t.drop(q)
		}
	}
}

// LookAt has the queue looked at no later than at.
func (t *Table) LookAt(q *Queue, at int64) {
	if !q.look.Set() || at < q.look.At() {
		t.looks.Put(&q.look, at)
	}
}

// calm forgets looks for the sake of waiters when there are none: a timer for
// nothing would keep the module from being unloaded.
func (t *Table) calm(q *Queue) {
	switch due := q.NextDue(); {
	case len(q.waitedIn) > 0 || !q.look.Set() || !q.Trusted:
	case due != 0:
		t.looks.Put(&q.look, due)
	default:
		t.looks.Remove(&q.look)
	}
}

// SetDue says when the first of a kind is due, 0 for none.
func (t *Table) SetDue(q *Queue, kind int, at int64) {
	q.due[kind] = at
	if at != 0 {
		t.LookAt(q, at)
	} else {
		t.calm(q)
	}
}

// NextLook is the earliest time at which some queue is to be looked at, for the
// one timer, and whether there is any.
func (t *Table) NextLook() (at int64, ok bool) { return t.looks.Next() }

// Look takes out the queue that has been due longest, nil when none is due at
// now. Whoever looks ends with Looked.
func (t *Table) Look(now int64) *Queue {
	if i := t.looks.PopDue(now); i != nil {
		return i.Value
	}
	return nil
}

// Looked has the queue looked at again when a lease may have run out that
// somebody waits for, or its next delayed task is due.
func (t *Table) Looked(q *Queue) {
	for _, g := range q.waitedIn {
		if lease := g.Shortest(); lease > 0 {
			t.LookAt(q, g.Leases.Due(lease))
		}
	}
	if due := q.NextDue(); due != 0 {
		t.LookAt(q, due)
	}
	t.drop(q)
}

// Waiting is the number of waiters, each counted once wherever it stands.
func (t *Table) Waiting() int { return t.waiting }

// Each calls f for every queue, in no order.
func (t *Table) Each(f func(*Queue)) {
	for _, q := range t.queues {
		f(q)
	}
}
