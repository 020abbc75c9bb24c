// Package dispatch decides who is given a task, and when to look again. It
// holds who waits where, knows when leases may have run out and delayed tasks
// fall due, and says how long a retry waits. It touches no server: the caller
// does to the streams what is decided here and says what it found.
//
// Times are unix milliseconds and always given. Nothing here is safe for
// concurrent use; in the server everything runs on one thread.
package dispatch

import (
	"strings"

	"holdfast/internal/deadline"
	"holdfast/internal/waitq"
)

// Key names a stream: names are per database.
type Key struct {
	DB     int
	Stream string
}

// maxIdle is how many groups without a waiter are remembered. What is known of
// such a group are hints alone, found again at the price of one walk over its
// pending list; without a bound, groups named once would be kept for ever.
const maxIdle = 4096

// Table is all the dispatching a server does. The zero value is not ready: use
// NewTable.
type Table struct {
	queues  map[Key]*Queue
	idle    waitq.Queue[*Group] // groups nobody waits in, least recently used first
	looks   deadline.Heap[*Queue]
	tickets uint64
	waiting int
	ghosts  []Handout
}

// NewTable is an empty table.
func NewTable() *Table { return &Table{queues: map[Key]*Queue{}} }

// Queue is what is known of one stream.
type Queue struct {
	Key
	Scheduled int64 // its delayed tasks, as last counted
	Expiring  bool  // entries expire that were not handed out yet
	dead      deadStream

	groups  map[string]*Group
	crowd   []*Group // the groups somebody waits in, in the order they came to be so
	look    deadline.Item[*Queue]
	delayed int64 // when the first delayed task falls due; 0 when there is none known
}

// Group is what is known of one consumer group of a stream.
type Group struct {
	Queue   *Queue
	Name    string
	Horizon Horizon
	// Available says that tasks may lie with the consumer Available, from where
	// anyone may take them. It starts true, because the list is durable and this
	// is not.
	Available bool
	Counters  Counters

	lanes   []*lane
	waiting int
	fresh   int                 // how many new tasks lie there for the group; unknown if negative
	place   waitq.Place[*Group] // in Table.idle
}

// Counters count what was done in a group since it was first seen.
type Counters struct{ Delivered, Acked, Reclaimed, Lost int64 }

// Find is the stream's queue if anything is known of it, else nil. It does not
// allocate: publishing to a stream where nobody waits costs one look-up.
func (t *Table) Find(db int, stream []byte) *Queue {
	return t.queues[Key{db, string(stream)}]
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
	g := q.groups[string(name)]
	if g == nil {
		g = &Group{Queue: q, Name: string(name), Available: true, fresh: unknown}
		g.place.Waiter = g
		q.groups[g.Name] = g
	}
	if g.waiting == 0 {
		g.place.Leave()
		t.idle.Push(&g.place)
		if t.idle.Len() > maxIdle {
			t.forget(t.idle.Front().Waiter)
		}
	}
	return g
}

// Group is the group of that name if anything is known of it, else nil.
func (q *Queue) Group(name []byte) *Group { return q.groups[string(name)] }

func (t *Table) forget(g *Group) {
	g.place.Leave()
	delete(g.Queue.groups, g.Name)
	t.drop(g.Queue)
}

// drop forgets a queue of which nothing is worth knowing.
func (t *Table) drop(q *Queue) {
	if len(q.groups) == 0 && q.delayed == 0 {
		t.looks.Remove(&q.look)
		delete(t.queues, q.Key)
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
	switch {
	case len(q.crowd) > 0 || !q.look.Set():
	case q.delayed != 0:
		t.looks.Put(&q.look, q.delayed)
	default:
		t.looks.Remove(&q.look)
	}
}

// Delayed says when the stream's first delayed task falls due, 0 for none.
func (t *Table) Delayed(q *Queue, at int64) {
	q.delayed = at
	if at != 0 {
		t.LookAt(q, at)
	} else {
		t.calm(q)
	}
}

// DelayedAt is when the stream's first delayed task falls due, 0 for none.
func (q *Queue) DelayedAt() int64 { return q.delayed }

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
	for _, g := range q.crowd {
		if lease := g.Shortest(); lease > 0 {
			t.LookAt(q, g.Horizon.Due(lease))
		}
	}
	if q.delayed != 0 {
		t.LookAt(q, q.delayed)
	}
	t.drop(q)
}

// Crowd lists the groups somebody waits in. It is valid until the next change.
func (q *Queue) Crowd() []*Group { return q.crowd }

// Waiting is the number of waiters in all groups of the stream.
func (q *Queue) Waiting() (n int) {
	for _, g := range q.crowd {
		n += g.waiting
	}
	return n
}

// Waiting is the number of waiters, each counted once wherever it stands.
func (t *Table) Waiting() int { return t.waiting }

// Each calls f for every queue, in no order.
func (t *Table) Each(f func(*Queue)) {
	for _, q := range t.queues {
		f(q)
	}
}

// Doubt forgets what is known of the data of one database, of all when db is
// negative, and keeps who waits: after a load, a flush or a swap the streams
// may be other ones. Every queue somebody waits in is looked at now.
func (t *Table) Doubt(db int, now int64) {
	for _, q := range t.queues {
		if db >= 0 && q.DB != db {
			continue
		}
		q.delayed, q.Scheduled = 0, 0
		t.calm(q)
		for _, g := range q.groups {
			g.Horizon, g.Available, g.fresh = Horizon{}, true, unknown
		}
		if len(q.crowd) > 0 {
			t.LookAt(q, now)
		}
		t.drop(q)
	}
}

// deadStream is where the consumers of a group want what they do not take.
type deadStream struct{ group, name string }

// NameDead notes the dead stream that a consumer of the group names; "" names none.
func (g *Group) NameDead(name string) {
	if d := &g.Queue.dead; name != "" && (d.name != name || d.group != g.Name) {
		*d = deadStream{g.Name, strings.Clone(name)}
	}
}

// Dead returns the dead stream that a consumer of the stream named last, and the
// consumer's group; "" when none did.
func (q *Queue) Dead() (group, name string) { return q.dead.group, q.dead.name }
