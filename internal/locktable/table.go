// Package locktable is the lock service without the server: who holds, who
// waits, who is next. It takes the time as a value and decides; a Store reads
// and writes the keyspace for it, so every race can be a table test.
//
// The holders live in the keyspace and nowhere else. What lives here is what
// may be lost with the process: the waiters, the sessions, the counters. For a
// lock somebody waits for, the table also keeps a copy of its holders (see
// line), because it must know when the first lease ends and who waits for whom.
package locktable

import (
	"errors"
	"strings"

	"holdfast/internal/deadline"
	"holdfast/internal/waitq"
)

// Errors that a request can end in. "Held" is none of them.
var (
	ErrWrongType = errors.New("the key is not a lock")
	ErrMoved     = errors.New("another node serves the lock now")
	ErrQueueFull = errors.New("too many wait for the lock")
)

// DeadlockError is the cycle a request would have closed: each owner in it
// waits for the next, and the last is one of those before it.
type DeadlockError struct{ Cycle []string }

func (e *DeadlockError) Error() string { return strings.Join(e.Cycle, " waits for ") }

// Key names a lock. The same name in another database is another lock.
type Key struct {
	DB   int
	Name string
}

// swap follows a lock when two databases change places.
func (k *Key) swap(a, b int) {
	switch k.DB {
	case a:
		k.DB = b
	case b:
		k.DB = a
	}
}

// Stats counts what happened since the table was made.
type Stats struct {
	Grants     int64 // handed over or not
	Contended  int64 // requests that had to wait
	HandedOver int64 // grants to one who had waited
	Refused    int64 // tries that found the lock taken
	Released   int64
	Extended   int64
	Expired    int64 // leases that ran out while held
	Broken     int64 // taken away by BREAK or by removing the key
	Ghosts     int64 // granted to a connection that was gone, and taken back
	Sessions   int64 // released because the holder's connection closed
	Timeouts   int64
	Deadlocks  int64
	QueueFull  int64
}

// Table is the lock service of one server. The zero value is not ready; see
// New. It is for one thread.
type Table struct {
	Stats Stats

	limits *Limits
	store  Store
	fence  Fence
	held   *heldSet
	since  int64            // when this node began to grant
	known  map[Key]struct{} // seen during the quarantine, and let go of

	lines    map[Key]*line
	parties  map[string]*party
	due      deadline.Heap[*line]
	summons  []*line            // to be looked at now
	round    waitq.Queue[*line] // the order in which all are looked at
	roundAt  int64
	waiting  int
	arrivals int64

	sessions sessions
	lost     []lost

	record []byte // scratch of the hot path
}

// Limits are what the operator sets; they may change at any time.
type Limits struct {
	MaxWaiters int64 // for each lock
	Quarantine int64 // ms after Lead in which no unknown lock is granted
}

// New is a table over store that begins to grant at now.
func New(store Store, limits *Limits, now int64) *Table {
	t := &Table{
		limits:  limits,
		store:   store,
		lines:   map[Key]*line{},
		parties: map[string]*party{},
	}
	t.Lead(now)
	return t
}

// Lead begins a term: the node started, finished loading or was promoted. It
// knows no lock yet but those it finds in the keyspace.
func (t *Table) Lead(now int64) {
	t.since = now
	t.known = nil
	t.held = newHeldSet()
}

// Follow ends it: another node decides now. What had been promised to lost
// connections is the new primary's to clear, and the expiry's.
func (t *Table) Follow() {
	for client := range t.sessions.clients {
		t.store.UnwatchClient(client)
	}
	t.lost, t.sessions = nil, sessions{}
	t.known = nil
	t.held = newHeldSet()
}

// Seen is told of every record found when a node has loaded or was promoted,
// so that tokens grow beyond it.
func (t *Table) Seen(db int, name []byte, keyExpires, now int64, r *Record) {
	t.fence.Saw(r.Token)
	if keyExpires > now {
		t.held.put(t.held.hash(db, name), keyExpires, now)
	}
}

// Request is what a caller of ACQUIRE wants. Its slices are only read, and
// only during the call.
type Request struct {
	DB      int
	Name    []byte
	Owner   []byte
	Meta    []byte
	Limit   int64 // Exclusive, Shared, or how many may hold
	TTL     int64 // ms
	Client  uint64
	Session bool // ends with the client's connection
	Block   bool // would rather wait than be refused
}

// Verdict is what comes of a request: a grant when Token is not 0, a place in
// the line when Wait is true, and otherwise "not now".
type Verdict struct {
	Token int64
	Wait  bool
	line  *line
}

// Acquire grants the lock, refuses it, or tells the caller to wait: then
// Enqueue must follow, or nothing has happened.
func (t *Table) Acquire(now int64, r *Request) (Verdict, error) {
	found := t.store.Open(r.DB, r.Name)
	defer t.store.Close()
	if l := t.line(r.DB, r.Name); l != nil {
		t.serve(l, now, found)
		if l.queue.Len() > 0 {
			return t.mustWait(r, l)
		}
		found = t.store.Open(r.DB, r.Name) // they were served, all of them
	}
	ok, err := t.admits(now, r, &found)
	if err != nil {
		return Verdict{}, err
	}
	if ok {
		// The key lives as long as its last holder; 0 leaves it as it is.
		expires, keyExpires := now+r.TTL, now+r.TTL
		switch {
		case found.Kind != Hash:
		case found.Expires >= expires:
			keyExpires = 0
		case found.Expires == 0: // by PERSIST
			keyExpires = max(expires, t.lastExpiry())
		}
		token := t.put(now, r, expires, keyExpires)
		t.held.put(t.held.hash(r.DB, r.Name), max(found.Expires, expires), now)
		t.store.Event(Acquired)
		return Verdict{Token: token}, nil
	}
	if !r.Block {
		t.Stats.Refused++
		return Verdict{}, nil
	}
	l := &line{key: Key{r.DB, string(r.Name)}, name: append([]byte(nil), r.Name...)}
	t.read(l, now, t.store.Open(r.DB, r.Name))
	return t.mustWait(r, l)
}

// admits decides for a lock that nobody waits for. In the common cases it
// looks at one holder at most, whatever their number; only where leases may
// have run out while others go on does it read them all.
func (t *Table) admits(now int64, r *Request, found *Found) (bool, error) {
	switch found.Kind {
	case Other:
		return false, ErrWrongType
	case Absent:
		return !t.quarantined(now, r.DB, r.Name), nil
	}
	record, ok := t.store.Any()
	if !ok {
		return true, nil
	}
	h, ok := ParseRecord(record)
	if !ok {
		return false, ErrWrongType
	}
	t.fence.Saw(h.Token)
	if h.Live(now) {
		if h.Limit != r.Limit || r.Limit == Exclusive {
			return false, nil
		}
		if r.Limit == Shared || int64(found.Holders) < r.Limit {
			return t.isNoHolder(now, r.Owner)
		}
	}
	l := line{key: Key{DB: r.DB}, name: r.Name}
	if t.read(&l, now, *found); l.foreign {
		return false, ErrWrongType
	}
	found.Kind, found.Expires = Hash, l.keyExpires
	if len(l.holders) == 0 {
		found.Kind = Absent
	}
	return l.admits(string(r.Owner), r.Limit), nil
}

func (t *Table) isNoHolder(now int64, owner []byte) (bool, error) {
	record, ok := t.store.Record(owner)
	if !ok {
		return true, nil
	}
	h, ok := ParseRecord(record)
	if !ok {
		return false, ErrWrongType
	}
	return !h.Live(now), nil
}

// put writes the record of a new holder, and the key's expiry unless that is
// 0, and gives the holder its token.
func (t *Table) put(now int64, r *Request, expires, keyExpires int64) (token int64) {
	token = t.fence.Next(now)
	record := Record{r.Limit, token, now, expires, r.Session, r.Meta}
	t.record = record.Append(t.record[:0])
	t.store.Put(r.Owner, t.record, keyExpires)
	t.Stats.Grants++
	if r.Session && t.sessions.add(r, token, expires, now) {
		t.store.WatchClient(r.Client)
	}
	return token
}
