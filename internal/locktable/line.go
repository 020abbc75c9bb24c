package locktable

import (
	"holdfast/internal/deadline"
	"holdfast/internal/waitq"
)

// Handle wakes the client behind a waiter: it was granted, or has an error.
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
	line    *line
	seq     int64 // by arrival, over all lines
	place   waitq.Place[*Waiter]
}

// line is a lock that somebody waits for: those who wait, and a copy of those
// who hold. The copy is refreshed from the keyspace whenever there is a sign
// that it may be wrong, and in a slow round without any sign.
type line struct {
	key        Key
	name       []byte
	queue      waitq.Queue[*Waiter]
	limit      int64 // of the holders, who agree on it unless somebody wrote by hand
	holders    map[string]lease
	keyExpires int64 // 0 when there is no key
	foreign    bool  // what stands there is no lock
	moved      bool  // nothing can stand there any more
	doubt      bool  // something touched the key: the copy may be wrong
	listed     bool  // in Table.lines
	summoned   bool  // in Table.summons
	due        deadline.Item[*line]
	round      waitq.Place[*line]
}

type lease struct{ token, expires int64 }

func (t *Table) line(db int, name []byte) *line {
	if len(t.lines) == 0 {
		return nil
	}
	return t.lines[Key{db, string(name)}]
}

// admits decides for the head of the queue, and for a newcomer where there is
// no queue.
func (l *line) admits(owner string, limit int64) bool {
	if len(l.holders) == 0 {
		return true
	}
	if _, holds := l.holders[owner]; holds || limit != l.limit {
		return false
	}
	return limit == Shared || int64(len(l.holders)) < limit
}

// lastExpiry is when the last of the holders' leases ends.
func (l *line) lastExpiry() (last int64) {
	for _, h := range l.holders {
		last = max(last, h.expires)
	}
	return last
}

// serve grants the open lock to those at the head of the queue that it admits,
// and then to no one behind the first that it does not: nobody overtakes, and
// a stream of shared holders starves no exclusive one.
func (t *Table) serve(l *line, now int64, found Found) {
	t.sync(l, now, found)
	t.serveSynced(l, now)
}

func (t *Table) serveSynced(l *line, now int64) {
	switch {
	case l.foreign:
		t.fail(l, ErrWrongType)
		return
	case l.moved:
		t.fail(l, ErrMoved)
		return
	}
	before := l.keyExpires
	granted := 0
	for p := l.queue.Front(); p != nil; p = l.queue.Front() {
		w := p.Waiter
		if len(l.holders) == 0 && t.quarantined(now, l.key.DB, l.name) {
			break
		}
		if !l.admits(w.Owner, w.Limit) {
			break
		}
		t.leave(w)
		t.handOver(l, w, now)
		granted++
	}
	if l.keyExpires != before {
		t.store.ExpireAt(l.keyExpires)
	}
	for range granted {
		t.store.Event(Acquired)
	}
	if l.queue.Len() == 0 {
		t.forget(l)
		return
	}
	if granted > 0 {
		t.count(l, now)
	}
	t.arm(l, now)
}

// handOver makes a waiter a holder.
func (t *Table) handOver(l *line, w *Waiter, now int64) {
	r := Request{
		DB: l.key.DB, Name: l.name, Owner: []byte(w.Owner), Meta: w.meta,
		Limit: w.Limit, Session: w.session, Client: w.client,
	}
	expires := now + w.ttl
	w.Token = t.put(now, &r, expires, 0)
	t.Stats.HandedOver++
	l.limit = w.Limit
	l.holders[w.Owner] = lease{w.Token, expires}
	t.indexHolder(l, w.Owner, +1)
	if l.keyExpires == 0 { // there was no key, or somebody made it PERSIST
		l.keyExpires = l.lastExpiry()
	}
	l.keyExpires = max(l.keyExpires, expires)
	if l.due.Set() && expires < l.due.At() {
		t.due.Put(&l.due, expires)
	}
	w.Handle.Wake()
}

// fail tells everyone in the queue that waiting is no use.
func (t *Table) fail(l *line, err error) {
	for p := l.queue.Front(); p != nil; p = l.queue.Front() {
		w := p.Waiter
		t.leave(w)
		w.Err = err
		w.Handle.Wake()
	}
	t.forget(l)
}

// arm sets the time at which the line must be looked at again: when the first
// lease ends. It need not be exact: an extended lease or one let go leave it
// too early, and then the look sets it anew.
func (t *Table) arm(l *line, now int64) {
	if l.due.Set() && l.due.At() > now {
		return
	}
	next := int64(0)
	for _, h := range l.holders {
		if next == 0 || h.expires < next {
			next = h.expires
		}
	}
	if next == 0 { // only the quarantine keeps them waiting
		next = t.since + t.limits.Quarantine
	}
	t.due.Put(&l.due, max(next, now+1))
}
