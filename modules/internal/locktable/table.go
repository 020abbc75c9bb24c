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
	"holdfast/modules/internal/histogram"
	"holdfast/modules/internal/waitq"
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

// Stats counts what happened since the table was made. A request for several
// locks counts as one for each where it is granted or released, and else once.
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
	Withdrawn  int64 // waits that a RELEASE or BREAK of their owner called off
	Deadlocks  int64
	QueueFull  int64

	Wait histogram.Histogram // ms from the request to the grant of those who waited
	Hold histogram.Histogram // ms from the grant to the release
}

// Table is the lock service of one server. The zero value is not ready; see
// New. It is for one thread.
type Table struct {
	Stats Stats

	limits *Limits
	store  Store
	open   lock // the one that is open, see at
	fence  Fence
	held   *heldSet
	noted  func(hash uint64, expires, at, held int64)
	since  int64            // when this node began to grant
	known  map[Key]struct{} // seen during the quarantine, and let go of
	full   map[uint64]full  // semaphores that refused, by the hash of their name

	lines    map[Key]*line
	nodes    map[string]*node
	due      deadline.Heap[*line]
	rechecks []*line            // to be looked at now
	groups   []*Waiter          // who want several locks, and may be first in all
	round    waitq.Queue[*line] // the order in which all are looked at
	roundAt  int64
	roundDue int // lines that are still to be looked at in this round
	waiting  int
	arrivals int64

	sessions sessions
	lost     []lost
}

// Limits are what the operator sets; they may change at any time.
type Limits struct {
	MaxWaiters int64 // for each lock
	Quarantine int64 // ms after Lead in which no unknown lock is granted
}

// New is a table over store that begins to grant at now.
func New(store Store, limits *Limits, now int64) *Table {
	t := &Table{
		limits: limits,
		store:  store,
		lines:  map[Key]*line{},
		nodes:  map[string]*node{},
		full:   map[uint64]full{},
		fence:  Fence{store.Token()},
	}
	t.noted = t.note
	t.Lead(now)
	return t
}

// Lead begins a term: the node started, finished loading or was promoted. It
// knows no lock yet but those it finds in the keyspace.
func (t *Table) Lead(now int64) {
	t.since = now
	t.known = nil
	t.forgetHeld()
}

// forgetHeld begins the gauge anew.
func (t *Table) forgetHeld() {
	if t.held != nil {
		t.store.Logged(t.noted)
	}
	t.held = newHeldSet()
	clear(t.full)
}

// Follow ends it: another node decides now. What had been promised to lost
// connections is the new primary's to clear, and the expiry's.
func (t *Table) Follow() {
	for client := range t.sessions.clients {
		t.store.UnwatchClient(client)
	}
	t.lost, t.sessions = nil, sessions{}
	t.known = nil
	t.forgetHeld()
}

// gauge notes that a lock is held until expires, or not at all for 0.
func (t *Table) gauge(hash uint64, expires, now int64) {
	t.store.Logged(t.noted)
	t.held.put(hash, expires, now)
}

// note takes down what the fast path did.
func (t *Table) note(hash uint64, expires, at, held int64) {
	t.held.put(hash, expires, at)
	if held >= 0 {
		t.Stats.Hold.Record(held)
	}
}

// Request is what a caller of ACQUIRE wants. Its slices are only read, and
// only during the call.
type Request struct {
	DB      int
	Name    []byte
	Also    [][]byte // further locks, all different: all are granted, or none
	Owner   []byte
	Meta    []byte
	Limit   int64 // Exclusive, Shared, or how many may hold
	TTL     int64 // ms
	Client  uint64
	Session bool // ends with the client's connection
	Block   bool // would rather wait than be refused
	Again   bool // where the owner holds it already, the answer is what it was
}

// plain tells whether a string says all there is to say of the holder.
func (r *Request) plain() bool { return r.Limit == Exclusive && !r.Session && len(r.Meta) == 0 }

// Verdict is what comes of a request: a grant when Token is not 0, a place in
// the line when Wait is true, and otherwise "not now".
type Verdict struct {
	Token int64
	Wait  bool
	lines []*line // to stand in
}

// Acquire grants the lock, refuses it, or tells the caller to wait: then
// Enqueue must follow, or nothing has happened.
func (t *Table) Acquire(now int64, r *Request) (v Verdict, err error) {
	if r.Again {
		if token, err := t.again(now, r); token != 0 || err != nil {
			return Verdict{Token: token}, err
		}
	}
	free := t.noLine(now, r, r.Name)
	for _, name := range r.Also {
		ok := t.noLine(now, r, name)
		t.at(r.DB, name, func(k *lock) {
			admitted := false
			admitted, err = t.admits(now, r, k)
			free = free && ok && admitted
		})
		if err != nil {
			return Verdict{}, err
		}
	}
	if free || len(r.Also) > 0 {
		t.at(r.DB, r.Name, func(k *lock) {
			admitted := false
			if admitted, err = t.admits(now, r, k); admitted && free {
				v.Token = t.fence.Next(now)
				t.grant(now, k, r, v.Token)
			}
		})
	}
	switch {
	case err != nil:
		return Verdict{}, err
	case v.Token != 0:
		for _, name := range r.Also {
			t.at(r.DB, name, func(k *lock) { t.grant(now, k, r, v.Token) })
		}
		return v, nil
	case !r.Block:
		t.Stats.Refused++
		return Verdict{}, nil
	}
	return t.mustWait(now, r)
}

// noLine serves those who wait for a lock, and tells whether nobody is left whom
// a newcomer would overtake.
func (t *Table) noLine(now int64, r *Request, name []byte) bool {
	l := t.line(r.DB, name)
	if l == nil {
		return true
	}
	t.look(l, now)
	t.serveGroups(now)
	return !l.listed || !l.blocked
}

// again answers the token of a grant that the owner has got already, and makes
// its lease end anew. For several locks it must be the same grant.
func (t *Table) again(now int64, r *Request) (token int64, err error) {
	same := true
	each := func(name []byte, visit func(k *lock, h *Record)) {
		t.at(r.DB, name, func(k *lock) {
			h, ok, e := t.find(now, k, r.Owner)
			if err = errors.Join(err, e); ok && e == nil && !k.foreign && h.Limit == r.Limit && h.Session == r.Session {
				visit(k, &h)
				return
			}
			same = false
		})
	}
	check := func(_ *lock, h *Record) {
		same = same && (token == 0 || token == h.Token)
		token = h.Token
	}
	each(r.Name, check)
	for _, name := range r.Also {
		each(name, check)
	}
	if err != nil {
		return 0, ErrWrongType
	}
	if !same {
		return 0, nil
	}
	prolong := func(k *lock, h *Record) {
		t.extend(now, k, r.Owner, h, deadline.After(now, r.TTL))
		t.keepFor(k, r, token)
	}
	each(r.Name, prolong)
	for _, name := range r.Also {
		each(name, prolong)
	}
	return token, nil
}

// admits decides for a lock that nobody waits for. In the common cases it
// looks at one holder at most, whatever their number; only where leases may
// have run out while others go on does it read them all.
func (t *Table) admits(now int64, r *Request, k *lock) (bool, error) {
	switch k.Kind {
	case Other:
		return false, ErrWrongType
	case Elsewhere:
		return false, ErrMoved
	case Absent:
		return !t.quarantined(now, r.DB, k.name), nil
	case Text:
		t.fence.Saw(k.holder.Token, now)
		return !k.holder.Live(now), nil
	}
	if r.Limit > Exclusive && t.isFull(now, k, r.Limit) {
		return false, nil
	}
	record, ok := t.store.Any()
	if !ok {
		return true, nil
	}
	h, ok := ParseRecord(record)
	if !ok {
		return false, ErrWrongType
	}
	t.fence.Saw(h.Token, now)
	if h.Live(now) {
		if h.Limit != r.Limit || r.Limit == Exclusive {
			return false, nil
		}
		if r.Limit == Shared || int64(k.Holders) < r.Limit {
			_, holds, err := t.find(now, k, r.Owner)
			return !holds, err
		}
	}
	return t.admitsAll(now, r, k)
}

// admitsAll decides by all holders of a hash, and removes those whose lease is
// over.
func (t *Table) admitsAll(now int64, r *Request, k *lock) (bool, error) {
	var dead [][]byte
	live, itself, limit, first := 0, false, int64(Exclusive), int64(forever)
	self := r.Owner // r itself must not escape
	if !t.records(k, func(owner []byte, h *Record) {
		t.fence.Saw(h.Token, now)
		if !h.Live(now) {
			dead = append(dead, append([]byte(nil), owner...))
			return
		}
		live++
		limit, first = h.Limit, min(first, h.Expires)
		itself = itself || string(owner) == string(self)
	}) {
		return false, ErrWrongType
	}
	t.bury(k, dead, live)
	for range dead {
		t.ranOut(k.hash, k)
	}
	if live == 0 {
		t.gauge(k.hash, 0, now)
		return true, nil
	}
	if int64(live) >= limit && limit > Exclusive {
		t.noteFull(now, k, limit, live, first)
	}
	return !itself && limit == r.Limit && (limit == Shared || int64(live) < limit), nil
}

// bury removes from the keyspace the holders whose lease is over.
func (t *Table) bury(k *lock, dead [][]byte, live int) {
	if live == 0 && len(dead) > 0 {
		k.delete()
		return
	}
	for _, owner := range dead {
		k.remove(owner)
	}
}

// ranOut counts a lease that ended before its holder let go.
func (t *Table) ranOut(hash uint64, k *lock) {
	t.Stats.Expired++
	t.held.ranOutOf(hash)
	k.event(Expired)
}

// grant makes r's owner a holder of the open lock.
func (t *Table) grant(now int64, k *lock, r *Request, token int64) {
	expires := deadline.After(now, r.TTL)
	record := Record{r.Limit, token, now, expires, r.Session, r.Meta}
	before := k.Expires
	if r.plain() {
		k.set(r.Owner, &record, expires)
	} else {
		// The key lives as long as its last holder; 0 leaves it as it is.
		keyExpires := expires
		switch {
		case k.Kind != Hash:
		case k.Expires >= expires:
			keyExpires = 0
		case k.Expires == 0: // by PERSIST
			keyExpires = max(expires, t.lastExpiry(k, nil))
		}
		k.put(r.Owner, &record, keyExpires)
		k.Holders++
		t.shortened(k.hash, expires)
	}
	t.Stats.Grants++
	k.event(Acquired)
	if r.Session && t.sessions.add(r, k.name, token, expires, now) {
		t.store.WatchClient(r.Client)
	}
	if l := t.line(k.db, k.name); l != nil {
		t.joined(l, k, r, token, expires, now)
	} else {
		t.gauge(k.hash, max(before, expires), now)
	}
}

// full is a semaphore that had no free place.
type full struct {
	limit   int64
	holders int   // as long as so many are there,
	until   int64 // and it is not yet so late, nothing has become free
}

const (
	mostFull     = 1024 // semaphores that are remembered
	believedFull = 1000 // ms, and longer for many holders, because it takes long to read them
)

// isFull answers a try of a full semaphore without reading its holders: no lease
// has ended since they were read.
func (t *Table) isFull(now int64, k *lock, limit int64) bool {
	f, ok := t.full[k.hash]
	return ok && f.limit == limit && f.holders == k.Holders && now < f.until
}

// noteFull remembers a full semaphore: until its first lease ends, and no longer
// than a while, because what somebody writes into the hash by hand tells nobody.
func (t *Table) noteFull(now int64, k *lock, limit int64, live int, first int64) {
	if len(t.full) >= mostFull {
		clear(t.full)
	}
	t.full[k.hash] = full{limit, live, min(first, now+believedFull+int64(live)/5)}
}

// shortened takes note of a lease in a semaphore that ends at expires.
func (t *Table) shortened(hash uint64, expires int64) {
	if f, ok := t.full[hash]; ok && expires < f.until {
		delete(t.full, hash)
	}
}
