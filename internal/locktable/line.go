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
	limit      int64 // of the holders; mixed if they disagree
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

// mixed is the limit of holders whose records disagree, which somebody must
// have written by hand. It matches no request, so all must go first.
const mixed = -1

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

// read copies the holders of the open lock, and clears away those whose lease
// is over. Who is gone without a word was broken, or its time was up.
func (t *Table) read(l *line, now int64, found Found) {
	l.keyExpires, l.foreign, l.moved = found.Expires, found.Kind == Other, found.Kind == Elsewhere
	fresh := make(map[string]lease, found.Holders)
	limit := int64(mixed)
	if found.Kind == Hash {
		var dead []string
		t.store.Each(func(owner, record []byte) bool {
			h, ok := ParseRecord(record)
			if !ok {
				l.foreign = true
				return false
			}
			t.fence.Saw(h.Token)
			if !h.Live(now) {
				dead = append(dead, string(owner))
				return true
			}
			if len(fresh) == 0 {
				limit = h.Limit
			} else if limit != h.Limit {
				limit = mixed
			}
			fresh[string(owner)] = lease{h.Token, h.Expires}
			return true
		})
		if l.foreign {
			clear(fresh)
		} else {
			t.bury(l, now, dead, fresh)
		}
	}
	for owner, was := range l.holders {
		if is, still := fresh[owner]; still && is.token == was.token {
			continue
		}
		t.indexHolder(l, owner, -1)
		if was.expires <= now {
			t.Stats.Expired++
			t.store.Event(Expired)
		} else if !l.moved {
			t.Stats.Broken++
			t.store.Event(Broken)
		}
	}
	for owner, is := range fresh {
		if was, before := l.holders[owner]; !before || was.token != is.token {
			t.indexHolder(l, owner, +1)
		}
	}
	l.holders, l.limit, l.doubt = fresh, limit, false
	t.due.Remove(&l.due) // arm sets it anew
	hash := t.held.hash(l.key.DB, l.name)
	if len(fresh) == 0 {
		t.held.drop(hash, now)
	} else if l.keyExpires > now {
		t.held.put(hash, l.keyExpires, now)
	}
}

// bury removes from the keyspace the holders whose lease is over.
func (t *Table) bury(l *line, now int64, dead []string, live map[string]lease) {
	if len(dead) > 0 && len(live) == 0 {
		t.store.Delete()
		l.keyExpires = 0
	} else {
		for _, owner := range dead {
			t.store.Remove([]byte(owner))
		}
	}
	for _, owner := range dead {
		if _, known := l.holders[owner]; !known { // else read counts it
			t.Stats.Expired++
			t.store.Event(Expired)
		}
	}
}

// sync makes the copy true again where it may not be.
func (t *Table) sync(l *line, now int64, found Found) {
	if l.doubt || l.foreign || found.Kind >= Other || found.Holders != len(l.holders) ||
		found.Expires != l.keyExpires || l.due.Set() && now >= l.due.At() {
		t.read(l, now, found)
	}
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
	if granted > 0 {
		t.held.put(t.held.hash(l.key.DB, l.name), l.keyExpires, now)
		for range granted {
			t.store.Event(Acquired)
		}
	}
	if l.queue.Len() == 0 {
		t.forget(l)
	} else {
		t.arm(l, now)
	}
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

// takeOut removes one holder from the open lock, for a reason its caller tells
// by counter and event.
func (t *Table) takeOut(l *line, now int64, owner string) {
	was := l.holders[owner]
	delete(l.holders, owner)
	t.indexHolder(l, owner, -1)
	t.sessions.forget(was.token)
	if len(l.holders) == 0 {
		t.store.Delete()
		l.keyExpires = 0
		t.held.drop(t.held.hash(l.key.DB, l.name), now)
		t.letGo(now, l.key.DB, l.name)
		return
	}
	t.store.Remove([]byte(owner))
	if was.expires < l.keyExpires {
		return
	}
	last := int64(0)
	for _, h := range l.holders {
		last = max(last, h.expires)
	}
	if last != l.keyExpires {
		l.keyExpires = last
		t.store.ExpireAt(last)
		t.held.put(t.held.hash(l.key.DB, l.name), last, now)
	}
}

func (t *Table) releaseInLine(l *line, now int64, found Found, owner []byte) (bool, error) {
	t.sync(l, now, found)
	if l.foreign {
		t.fail(l, ErrWrongType)
		return false, ErrWrongType
	}
	_, held := l.holders[string(owner)]
	if held {
		t.takeOut(l, now, string(owner))
		t.Stats.Released++
		t.store.Event(Released)
	}
	t.serveSynced(l, now)
	return held, nil
}

// extendInLine keeps the copy of the holders true to a lease that now ends at
// expires.
func (t *Table) extendInLine(l *line, owner []byte, expires, keyExpires int64) {
	was, ok := l.holders[string(owner)]
	if !ok {
		l.doubt = true
		t.summon(l)
		return
	}
	l.holders[string(owner)] = lease{was.token, expires}
	l.keyExpires = keyExpires
	if l.due.Set() && expires < l.due.At() {
		t.due.Put(&l.due, expires)
	}
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
