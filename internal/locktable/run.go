package locktable

// Some ways to make a lock vanish tell nobody (SET over it, RESTORE REPLACE),
// so all lines are looked at in turn while anyone waits: this many of them,
// this often. A line's own events and deadlines do not depend on it.
const (
	roundEvery = 100 // ms
	roundSize  = 256
	// What is small is read again in the round; of a crowd only the number
	// and the key's expiry are compared.
	roundReads = 16
)

// lost is a grant whose holder is known to be gone.
type lost struct {
	key   Key
	owner string
	token int64
	ghost bool // never told of its grant; else the session ended
}

// Stir says that something may have happened to the lock of that name. It may
// be called where the keyspace must not be touched: Run does the rest.
func (t *Table) Stir(db int, name []byte) {
	if l := t.line(db, name); l != nil {
		l.doubt = true
		t.summon(l)
	}
}

// StirAll says the same of every lock in a database, or in all for -1.
func (t *Table) StirAll(db int) {
	for _, l := range t.lines {
		if db < 0 || l.key.DB == db {
			l.doubt = true
			t.summon(l)
		}
	}
}

// Swap says that two databases changed places. Those who wait go on waiting
// for the name in their own database; sessions follow the locks they hold, and
// so does what is to be taken back.
func (t *Table) Swap(a, b int) {
	t.StirAll(a)
	t.StirAll(b)
	t.sessions.swap(a, b)
	for i := range t.lost {
		t.lost[i].key.swap(a, b)
	}
}

// Disconnected says that a client is gone, and with it what it held as a
// session.
func (t *Table) Disconnected(client uint64) {
	if t.sessions.clients[client] != nil {
		t.store.UnwatchClient(client)
		t.lost = append(t.lost, t.sessions.end(client)...)
	}
}

func (t *Table) summon(l *line) {
	if !l.summoned {
		l.summoned = true
		t.summons = append(t.summons, l)
	}
}

// Next is when Run must be called again, and whether it must at all.
func (t *Table) Next(now int64) (at int64, ok bool) {
	if len(t.lost) > 0 || len(t.summons) > 0 {
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
// lines, and serves whoever is next.
func (t *Table) Run(now int64) {
	for len(t.lost) > 0 {
		g := t.lost[len(t.lost)-1]
		t.lost = t.lost[:len(t.lost)-1]
		t.takeBack(now, g)
	}
	t.lost = nil
	for len(t.summons) > 0 {
		l := t.summons[len(t.summons)-1]
		t.summons = t.summons[:len(t.summons)-1]
		l.summoned = false
		t.look(l, now)
	}
	t.summons = nil
	for i := t.due.PopDue(now); i != nil; i = t.due.PopDue(now) {
		i.Value.doubt = true
		t.look(i.Value, now)
	}
	if t.round.Len() > 0 && now >= t.roundAt {
		t.roundAt = now + roundEvery
		for range min(roundSize, t.round.Len()) {
			p := t.round.Front()
			if p == nil {
				break
			}
			p.Leave()
			t.round.Push(p)
			if l := p.Waiter; len(l.holders) <= roundReads {
				l.doubt = true
			}
			t.look(p.Waiter, now)
		}
	}
}

func (t *Table) look(l *line, now int64) {
	if !l.listed {
		return
	}
	found := t.store.Open(l.key.DB, l.name)
	t.serve(l, now, found)
	t.store.Close()
}

// takeBack ends one lease whose holder is gone, unless it is over anyway.
func (t *Table) takeBack(now int64, g lost) {
	name := []byte(g.key.Name)
	found := t.store.Open(g.key.DB, name)
	defer t.store.Close()
	if found.Kind != Hash {
		return
	}
	if l := t.line(g.key.DB, name); l != nil && t.isLock(l, now, found) {
		if l.holders[g.owner].token == g.token {
			t.takeOut(l, now, g.owner)
			t.tookBack(g)
		}
		t.serveSynced(l, now)
		return
	}
	record, ok := t.store.Record([]byte(g.owner))
	if !ok {
		return
	}
	if h, ok := ParseRecord(record); ok && h.Token == g.token {
		t.drop(now, g.key.DB, name, found, []byte(g.owner), &h)
		t.tookBack(g)
	}
}

func (t *Table) tookBack(g lost) {
	if g.ghost {
		t.Stats.Ghosts++
	} else {
		t.Stats.Sessions++
	}
	t.store.Event(Released)
}

// Break takes the lock from one owner, or from all for a nil owner, and serves
// those who wait. It returns from how many it was taken.
func (t *Table) Break(now int64, db int, name, owner []byte) (int, error) {
	found := t.store.Open(db, name)
	defer t.store.Close()
	l := t.line(db, name)
	if l == nil {
		l = &line{key: Key{db, string(name)}, name: name, doubt: true}
	}
	if t.sync(l, now, found); l.foreign {
		t.serveSynced(l, now)
		return 0, ErrWrongType
	}
	broken := 0
	for holder := range l.holders {
		if owner == nil || string(owner) == holder {
			t.takeOut(l, now, holder)
			t.Stats.Broken++
			t.store.Event(Broken)
			broken++
		}
	}
	t.serveSynced(l, now)
	return broken, nil
}
