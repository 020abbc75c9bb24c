package locktable

// Some ways to make a lock vanish tell nobody (SET over it, RESTORE REPLACE),
// so all lines are looked at in turn while anyone waits: this many of them,
// this often. A line's own events and deadlines do not depend on it.
const (
	roundEvery = 100 // ms
	roundSize  = 256
	// What is small is read again in the round; of more holders only the number
	// and the key's expiry are compared.
	roundReads = 16
)

// lost is a grant whose holder is known to be gone before it was told.
type lost struct {
	key   Key
	owner string
	token int64
}

// Touched says that something may have happened to the lock of that name. It may
// be called where the keyspace must not be touched: Run does the rest.
func (t *Table) Touched(db int, name []byte) {
	if l := t.line(db, name); l != nil {
		l.doubt = true
		t.recheck(l)
	}
}

// TouchedAll says the same of every lock in a database, or in all for -1.
func (t *Table) TouchedAll(db int) {
	clear(t.full)
	for _, l := range t.lines {
		if db < 0 || l.key.DB == db {
			l.doubt = true
			t.recheck(l)
		}
	}
}

// Swap says that two databases changed places. Those who wait go on waiting
// for the name in their own database; sessions follow the locks they hold, and
// so does what is to be taken back.
func (t *Table) Swap(a, b int) {
	t.TouchedAll(a)
	t.TouchedAll(b)
	t.sessions.swap(a, b)
	for i := range t.lost {
		t.lost[i].key.swap(a, b)
	}
}

// Disconnected says that a client is gone, and with it what it held as a
// session: Run ends that.
func (t *Table) Disconnected(client uint64) {
	if t.sessions.disconnected(client) {
		t.store.UnwatchClient(client)
	}
}

func (t *Table) recheck(l *line) {
	if !l.rechecking {
		l.rechecking = true
		t.rechecks = append(t.rechecks, l)
	}
}

// Next is when Run must be called again, and whether it must at all.
func (t *Table) Next(now int64) (at int64, ok bool) {
	if len(t.lost) > 0 || len(t.rechecks) > 0 || t.sessions.ending() {
		return now, true
	}
	if t.round.Len() == 0 {
		return 0, false
	}
	t.roundAt = min(t.roundAt, now+roundEvery) // the clock may have been set back
	at = t.roundAt
	if due, ok := t.due.Next(); ok {
		at = min(at, due)
	}
	return at, true
}

// Run does what has become due: takes back what was granted to those who are
// gone, ends the leases that ran out while others wait, verifies a part of the
// lines, and serves whoever is next. It stops when enough says so, which is
// asked after each small step; then Next says that Run must be called at once.
func (t *Table) Run(now int64, enough func() bool) {
	for t.step(now) && !enough() {
	}
	t.serveGroups(now)
	if len(t.rechecks) == 0 {
		t.rechecks = nil // a FLUSHALL may have made it long
	}
}

// step does one thing that is due, and tells whether there was any.
func (t *Table) step(now int64) bool {
	if n := len(t.lost); n > 0 {
		g := t.lost[n-1]
		t.lost = t.lost[:n-1]
		t.takeBack(now, g, &t.Stats.Ghosts)
		return true
	}
	if g, more := t.sessions.next(); more {
		if g.token != 0 {
			t.takeBack(now, g, &t.Stats.Sessions)
		}
		return true
	}
	// The lines that are due come before those to be rechecked: a lease's end is never delayed by what
	// has no deadline.
	if i := t.due.PopDue(now); i != nil {
		l := i.Value
		l.doubt = l.doubt || l.ends.Len() == 0
		t.look(l, now)
		return true
	}
	if n := len(t.rechecks); n > 0 {
		l := t.rechecks[n-1]
		t.rechecks[n-1] = nil
		t.rechecks = t.rechecks[:n-1]
		l.rechecking = false
		t.look(l, now)
		return true
	}
	return t.roundStep(now)
}

// roundStep looks at the next line of the round.
func (t *Table) roundStep(now int64) bool {
	if t.round.Len() == 0 {
		return false
	}
	if now >= t.roundAt {
		t.roundAt = now + roundEvery
		t.roundDue = min(roundSize, t.round.Len())
	}
	if t.roundDue == 0 {
		return false
	}
	t.roundDue--
	p := t.round.Front()
	p.Leave()
	t.round.Push(p)
	if l := p.Waiter; len(l.holders) <= roundReads {
		l.doubt = true
	}
	t.look(p.Waiter, now)
	return true
}

func (t *Table) look(l *line, now int64) {
	if l.listed {
		t.at(l.key.DB, l.name, func(k *lock) { t.serve(l, now, k) })
	}
}

// takeBack ends one lease whose holder is gone, unless it is over anyway.
func (t *Table) takeBack(now int64, g lost, counter *int64) {
	name := []byte(g.key.Name)
	t.at(g.key.DB, name, func(k *lock) {
		l := t.line(g.key.DB, name)
		isLock := l != nil && t.isLock(l, now, k)
		if h, ok, _ := t.find(now, k, []byte(g.owner)); ok && h.Token == g.token {
			t.takeOut(now, k, []byte(g.owner), &h)
			*counter++
			k.event(Released)
		}
		if isLock {
			t.serveSynced(l, now, k)
		}
	})
	t.serveGroups(now)
}
