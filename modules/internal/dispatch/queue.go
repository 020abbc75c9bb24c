package dispatch

import (
	"strings"

	"holdfast/internal/deadline"
	"holdfast/modules/internal/histogram"
	"holdfast/modules/internal/keyed"
	"holdfast/modules/internal/waitq"
)

// Key names a stream: names are per database.
type Key struct {
	DB     int
	Stream string
}

// Queue is the view of one stream: who waits in it, and all that is believed of
// its data. The data can change behind the module's back, so beliefs end all
// together, by Table.Distrust, and are never mended one by one.
type Queue struct {
	Key
	streamBeliefs
	Pace    keyed.Pace // of the rule for the stream's keys
	Watches []uint64   // what the owner has to take back when the queue is dropped
	Done    [][]byte   // tasks that are over whose places the owner has still to forget

	dead     deadStream
	groups   map[string]*Group
	found    *Group   // the last one that was looked for
	waitedIn []*Group // the groups somebody waits in, in the order they came to be so
	look     deadline.Item[*Queue]
}

// streamBeliefs are the beliefs of a stream itself. The zero value believes nothing.
type streamBeliefs struct {
	// Trusted says that the stream was looked at since it was last distrusted.
	Trusted bool
	// Holding says that tasks may hold a unique id until they are done.
	Holding bool
	// Listed says that the owner's list of streams has it.
	Listed bool
	// Exclusive says that the stream has exactly one group.
	Exclusive bool
	// Scheduled is the number of delayed tasks, as last counted.
	Scheduled int64
	// Keys are the keys of the stream's tasks, if a rule says how many of them may run or
	// some are held; else nil. SetKeys sets them.
	Keys *keyed.Keys

	due [sets]int64 // when the first of each kind is due; 0 when none is known
}

// What is due beside a stream.
const (
	Delayed  = iota // tasks to be added to the stream, the first of a sorted set
	Expiring        // entries to be removed from it if nobody was given them, likewise
	Keyed           // Keys, to be looked at
	sets
)

// Group is what is known of one consumer group of a stream.
type Group struct {
	Queue *Queue
	Name  string
	groupBeliefs
	// Destroyed says that somebody destroyed the group, which who waits in it has
	// still to be told.
	Destroyed bool
	// Lease is what a consumer of the group last asked for, in ms; 0 when none did.
	Lease    int64
	Counters Counters

	queue waitq.Queue[*Waiter]
	lists []*leaseList        // of those who wait with a lease, by lease
	idle  waitq.Place[*Group] // in Table.idle
}

// groupBeliefs are the beliefs of one group.
type groupBeliefs struct {
	// Leases knows when a lease may have run out.
	Leases Walk
	// Available says that tasks may lie with the module's own consumer, from where
	// anyone may take them.
	Available bool
	// Leaving are forgotten consumers whose tasks are not all available yet.
	Leaving []string
	// Fast are the numbers of the group's open passes, as the owner has them.
	Fast [2]uint64

	fresh int // how many tasks are new to the group; negative if unknown
}

// unbelieved is what is believed when nothing is: what is durable may be there.
var unbelieved = groupBeliefs{Available: true, fresh: unknown}

// Counters count what was done in a group since it was first seen.
type Counters struct {
	Delivered, Acked, Reclaimed, Lost int64

	Wait histogram.Histogram // ms from a task's publication to its first hand-out
	Run  histogram.Histogram // ms from a hand-out to its acknowledgement
}

// deadStream is where the consumers of a group want what they do not take.
type deadStream struct{ group, name string }

// NameDead notes the dead stream that a consumer of the group names; "" names none.
func (g *Group) NameDead(name string) {
	if d := &g.Queue.dead; name != "" && (d.name != name || d.group != g.Name) {
		*d = deadStream{g.Name, strings.Clone(name)}
	}
}

// SetKeys replaces the keys. What the old ones have lent they recall.
func (q *Queue) SetKeys(k *keyed.Keys) {
	q.Keys.Recall()
	q.Keys = k
}

// believe replaces the beliefs of the stream itself.
func (q *Queue) believe(b streamBeliefs) {
	q.SetKeys(nil)
	q.streamBeliefs = b
}

// Dead returns the dead stream that a consumer of the stream named last, and the
// consumer's group; "" when none did.
func (q *Queue) Dead() (group, name string) { return q.dead.group, q.dead.name }

// Group is the group of that name if anything is known of it, else nil.
func (q *Queue) Group(name []byte) *Group {
	if g := q.found; g != nil && g.Name == string(name) {
		return g
	}
	g := q.groups[string(name)]
	if g != nil {
		q.found = g
	}
	return g
}

// Groups calls f for each group that is known.
func (q *Queue) Groups(f func(*Group)) {
	for _, g := range q.groups {
		f(g)
	}
}

// DueAt is when the first of its kind is due, 0 for none.
func (q *Queue) DueAt(set int) int64 { return q.due[set] }

// NextDue is when the first of any kind is due, 0 for none.
func (q *Queue) NextDue() (at int64) {
	for _, d := range q.due {
		if d != 0 && (at == 0 || d < at) {
			at = d
		}
	}
	return at
}

// WaitedIn lists the groups somebody waits in. It is valid until the next change.
func (q *Queue) WaitedIn() []*Group { return q.waitedIn }

// Waiting is the number of waiters in all groups of the stream.
func (q *Queue) Waiting() (n int) {
	for _, g := range q.waitedIn {
		n += g.Waiting()
	}
	return n
}

// How many tasks are new is known only as long as somebody waits in the stream:
// then the module hears of whatever is added. A consumer that comes while others
// wait in vain need not ask the stream again.

const unknown = -1

// Added says that so many tasks were added to the stream.
func (q *Queue) Added(n int) {
	for _, g := range q.waitedIn {
		if g.fresh != unknown {
			g.fresh += n
		}
	}
}

// AddedSome says that there may be any number of new tasks in the stream.
func (q *Queue) AddedSome() {
	for _, g := range q.waitedIn {
		g.fresh = unknown
	}
}

// Starved reports whether somebody waits in the stream though nothing new is in it.
func (q *Queue) Starved() bool {
	for _, g := range q.waitedIn {
		if g.fresh == 0 {
			return true
		}
	}
	return false
}

// Took says that the group was given n new tasks when it asked for most.
func (g *Group) Took(n, most int) {
	switch {
	case n < most:
		g.fresh = 0
	case g.fresh >= n:
		g.fresh -= n
	default:
		g.fresh = unknown
	}
}

// Empty reports whether a consumer that asks for tasks now would find none, and
// may join the queue without asking: others wait, nothing is new or available,
// and no lease of that many milliseconds can have run out.
func (g *Group) Empty(lease, now int64) bool {
	return g.Waiting() > 0 && g.fresh == 0 && !g.Available && g.Queue.Trusted &&
		(lease == 0 || g.Leases.Due(lease) > now)
}
