package locktable

import (
	"holdfast/internal/deadline"
	"holdfast/modules/internal/waitq"
)

// Handle wakes the client behind a waiter: it was granted, has an error, or is
// to be told that it does not get the lock.
type Handle interface{ Wake() }

// Waiter is one request that waits. Its owner allocates it, gives it a Handle,
// and reads Token or Err when woken.
type Waiter struct {
	Handle Handle
	Owner  string
	Limit  int64
	Since  int64 // unix ms
	Token  int64 // not 0: granted
	Err    error // not nil: can never be granted here

	meta    []byte
	ttl     int64
	client  uint64
	session bool
	seq     int64 // by arrival, over all lines
	entries []entry
	one     [1]entry // the entry of a waiter for one lock
}

// entry is a waiter's place in one line. A waiter enters all its lines at
// the same moment, so of two waiters the same one is first in every line that
// both stand in.
type entry struct {
	line  *line
	place waitq.Place[*Waiter]
}

// line is a lock that somebody waits for: those who wait, and a copy of those
// who hold. The copy is refreshed from the keyspace whenever there is a sign
// that it may be wrong, and in a slow round without any sign.
type line struct {
	key        Key
	name       []byte
	hash       uint64
	queue      waitq.Queue[*Waiter]
	blocked    bool // somebody waits whom a newcomer would overtake
	limit      int64
	holders    map[string]*lease
	ends       deadline.Heap[*lease] // of a lock with many holders: who runs out first
	fields     int                   // holders in the keyspace, also those not copied yet
	keyExpires int64                 // 0 when there is no key
	cursor     Cursor                // not nil while a lock with many holders is being copied
	pass       int                   // counts the copies, see lease
	foreign    bool                  // what stands there is no lock
	moved      bool                  // nothing can stand there any more
	doubt      bool                  // something touched the key: the copy may be wrong
	listed     bool                  // in Table.lines
	indexed    bool                  // the holders are in Table.nodes
	rechecking bool                  // in Table.rechecks
	due        deadline.Item[*line]
	round      waitq.Place[*line]
}

// lease is one holder in the copy.
type lease struct {
	owner          string
	token, expires int64
	pass           int // the copy that met it last
	end            deadline.Item[*lease]
}

const (
	// small is how many holders are copied in one go. More are copied some at a
	// time, between other clients' commands.
	small = 128
	// manyHolders is up to how many holders a lock has its waiters examined for a
	// deadlock.
	manyHolders = 1000
	// slice is how much is done at one lock in one go: so many holders are copied,
	// leases ended or waiters answered.
	slice = 256
)

func (t *Table) line(db int, name []byte) *line {
	if len(t.lines) == 0 {
		return nil
	}
	return t.lines[Key{db, string(name)}]
}

// complete tells whether the copy has all holders.
func (l *line) complete() bool { return !l.doubt && l.cursor == nil && l.fields == len(l.holders) }

// admitsWaiter decides for one who waits, as far as the holders go.
func (t *Table) admitsWaiter(l *line, w *Waiter) bool {
	if l.fields == 0 {
		return true
	}
	if w.Limit != l.limit || t.holds(l, w.Owner) {
		return false
	}
	return w.Limit == Shared || int64(l.fields) < w.Limit
}

// holds tells whether an owner is a holder of the open lock.
func (t *Table) holds(l *line, owner string) bool {
	_, holds := l.holders[owner]
	if !holds && l.cursor != nil {
		_, holds = t.store.Record([]byte(owner))
	}
	return holds
}

// waitsForItself tells whether a waiter's owner holds the lock in the mode that
// the waiter wants. Such a waiter keeps nobody else waiting.
func (l *line) waitsForItself(w *Waiter) bool {
	_, holds := l.holders[w.Owner]
	return holds && w.Limit == l.limit
}

// isFirst tells whether nobody stands before w whom w would overtake.
func (l *line) isFirst(w *Waiter) bool {
	for p := l.queue.Front(); p != nil; p = p.Next() {
		if p.Waiter == w {
			return true
		}
		if !l.waitsForItself(p.Waiter) {
			return false
		}
	}
	return false
}

// serve grants the open lock to those at the head of the queue that it admits,
// and then to no one behind the first that it does not: nobody overtakes, and
// a stream of shared holders starves no exclusive one.
func (t *Table) serve(l *line, now int64, k *lock) {
	t.sync(l, now, k)
	t.serveSynced(l, now, k)
}

func (t *Table) serveSynced(l *line, now int64, k *lock) {
	if !l.listed {
		return
	}
	switch {
	case l.foreign:
		t.fail(l, ErrWrongType)
		return
	case l.moved:
		t.fail(l, ErrMoved)
		return
	}
	granted := 0
	l.blocked = false
	for p := l.queue.Front(); p != nil && !l.blocked; {
		w, next := p.Waiter, p.Next()
		switch {
		case granted == slice:
			t.recheck(l)
			l.blocked = true
		case l.fields == 0 && t.quarantined(now, l.key.DB, l.name):
			l.blocked = true
		case !t.admitsWaiter(l, w):
			l.blocked = !l.waitsForItself(w)
		case len(w.entries) > 1:
			t.groups = append(t.groups, w)
			l.blocked = true
		default:
			t.leave(w, l)
			t.handOver(k, w, now, t.fence.Next(now))
			w.Handle.Wake()
			granted++
		}
		p = next
	}
	if l.queue.Len() == 0 {
		t.forget(l)
		return
	}
	t.count(l, now)
	t.arm(l, now)
}

// serveGroups grants their locks to those who wait for several, are first in all
// lines and find all locks free.
func (t *Table) serveGroups(now int64) {
	for len(t.groups) > 0 {
		w := t.groups[len(t.groups)-1]
		t.groups = t.groups[:len(t.groups)-1]
		if t.allFree(now, w) {
			t.grantAll(now, w)
		}
	}
}

func (t *Table) allFree(now int64, w *Waiter) bool {
	for i := range w.entries {
		if s := &w.entries[i]; !s.place.Waiting() || !s.line.isFirst(w) {
			return false
		}
	}
	for i := range w.entries {
		l, free := w.entries[i].line, false
		t.at(l.key.DB, l.name, func(k *lock) {
			t.sync(l, now, k)
			if l.foreign || l.moved {
				t.serveSynced(l, now, k)
				return
			}
			free = t.admitsWaiter(l, w) && (l.fields > 0 || !t.quarantined(now, l.key.DB, l.name))
			t.arm(l, now)
		})
		if !free {
			return false
		}
	}
	return true
}

func (t *Table) grantAll(now int64, w *Waiter) {
	token := t.fence.Next(now)
	for i := range w.entries {
		l := w.entries[i].line
		w.entries[i].place.Leave()
		t.at(l.key.DB, l.name, func(k *lock) { t.handOver(k, w, now, token) })
	}
	t.waitsNoMore(w)
	w.Handle.Wake()
	for i := range w.entries {
		if l := w.entries[i].line; l.queue.Len() == 0 {
			t.forget(l)
		} else {
			t.look(l, now) // others may hold it beside w
		}
	}
}

// handOver makes a waiter a holder.
func (t *Table) handOver(k *lock, w *Waiter, now, token int64) {
	w.Token = token
	t.grant(now, k, &Request{
		DB: k.db, Name: k.name, Owner: []byte(w.Owner), Meta: w.meta,
		Limit: w.Limit, TTL: w.ttl, Session: w.session, Client: w.client,
	}, token)
	t.Stats.HandedOver++
	t.Stats.Wait.Record(now - w.Since)
}

// fail tells those in the queue that waiting is no use.
func (t *Table) fail(l *line, err error) {
	for range min(slice, l.queue.Len()) {
		w := l.queue.Front().Waiter
		t.leave(w, l)
		w.Err = err
		w.Handle.Wake()
	}
	if l.queue.Len() == 0 {
		t.forget(l)
	} else {
		t.recheck(l)
	}
}

// withdraw calls off the waits of an owner for a lock: they end as if their time
// had run out.
func (t *Table) withdraw(db int, name, owner []byte) {
	l := t.line(db, name)
	if l == nil {
		return
	}
	p := t.nodes[string(owner)]
	if p == nil {
		return
	}
	for _, w := range append(waits(nil), p.waits...) {
		if w.in(l) {
			t.leave(w, nil)
			t.Stats.Withdrawn++
			w.Handle.Wake()
		}
	}
}

// arm sets the time at which the line must be looked at again: when the first
// lease ends. It need not be exact: an extended lease or one let go leave it
// too early, and then the look sets it anew.
func (t *Table) arm(l *line, now int64) {
	if l.due.Set() && l.due.At() > now {
		return
	}
	next := int64(forever)
	if at, ok := l.ends.Next(); ok {
		next = at
	} else {
		for _, h := range l.holders {
			next = min(next, h.expires)
		}
	}
	if l.fields == 0 { // only the quarantine keeps them waiting
		next = t.since + t.limits.Quarantine
	}
	if next == forever {
		t.due.Remove(&l.due)
		return
	}
	t.due.Put(&l.due, max(next, now+1))
}
