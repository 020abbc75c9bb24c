package locktable_test

import (
	"hash/maphash"
	"maps"
	"slices"
	"testing"

	"holdfast/modules/internal/locktable"
)

// keyspace is a Store of maps that expires keys as the server does: when they
// are looked at, and one millisecond after the last of their lease.
type keyspace struct {
	now     int64
	keys    map[locktable.Key]*entry
	watched map[locktable.Key]bool
	clients map[uint64]bool
	events  []locktable.Event

	key     locktable.Key
	open    bool
	reading bool // opened by Peek
	moved   bool // to another node, all of it
	walks   int  // how often all of a hash was read
	cursors int  // that are not closed
	calls   int  // locks opened
	visited int  // records read since the last one was
	most    int  // the most records read at one lock in one go
}

type entry struct {
	fields  map[string]string // nil for a key of another type
	text    string            // of a string, if it is not empty
	expires int64
}

func newKeyspace(now int64) *keyspace {
	return &keyspace{
		now: now, keys: map[locktable.Key]*entry{},
		watched: map[locktable.Key]bool{}, clients: map[uint64]bool{},
	}
}

func (k *keyspace) Open(db int, name []byte) locktable.Found {
	if k.open {
		panic("a lock is opened while another is open")
	}
	k.key, k.open, k.reading = locktable.Key{DB: db, Name: string(name)}, true, false
	k.calls++
	k.visited = 0
	if k.moved {
		return locktable.Found{Kind: locktable.Elsewhere}
	}
	e := k.keys[k.key]
	if e != nil && e.expires > 0 && k.now > e.expires {
		delete(k.keys, k.key)
		e = nil
	}
	switch {
	case e == nil:
		return locktable.Found{}
	case e.text != "":
		return locktable.Found{Kind: locktable.Text, Expires: e.expires, Value: []byte(e.text)}
	case e.fields == nil:
		return locktable.Found{Kind: locktable.Other, Expires: e.expires}
	}
	return locktable.Found{Kind: locktable.Hash, Holders: len(e.fields), Expires: e.expires}
}

func (k *keyspace) Peek(db int, name []byte) locktable.Found {
	found := k.Open(db, name)
	k.reading = true
	return found
}

func (k *keyspace) Commit(writes []locktable.Write, events []locktable.Event) {
	if k.reading && len(writes)+len(events) > 0 {
		panic("something is written that was opened to be read")
	}
	for _, w := range writes {
		k.write(w)
	}
	k.at()
	k.events = append(k.events, events...)
	k.open = false
}

func (k *keyspace) write(w locktable.Write) {
	e := k.at()
	switch w.Kind {
	case locktable.Set:
		k.keys[k.key] = &entry{text: string(w.Value), expires: w.Expires}
	case locktable.Put:
		if e == nil {
			e = &entry{fields: map[string]string{}}
			k.keys[k.key] = e
		}
		e.fields[string(w.Owner)] = string(w.Value)
		if w.Expires > 0 {
			e.expires = w.Expires
		}
	case locktable.Remove:
		if delete(e.fields, string(w.Owner)); len(e.fields) == 0 {
			delete(k.keys, k.key)
		}
	case locktable.Delete:
		delete(k.keys, k.key)
	case locktable.ExpireAt:
		e.expires = w.Expires
	}
}

// at is the entry that is open. Touching what is not open is a mistake that
// the server would punish with a crash.
func (k *keyspace) at() *entry {
	if !k.open {
		panic("the store was used with no lock open")
	}
	return k.keys[k.key]
}

func (k *keyspace) Record(owner []byte) ([]byte, bool) {
	e := k.at()
	if e == nil {
		return nil, false
	}
	record, ok := e.fields[string(owner)]
	return []byte(record), ok
}

func (k *keyspace) Any() (record []byte, ok bool) {
	if e := k.at(); e != nil {
		for _, r := range e.fields {
			return []byte(r), true
		}
	}
	return nil, false
}

func (k *keyspace) Each(visit func(owner, record []byte) bool) {
	k.walks++
	k.each(visit)
}

func (k *keyspace) each(visit func(owner, record []byte) bool) {
	e := k.at()
	if e == nil {
		return
	}
	for _, owner := range slices.Sorted(maps.Keys(e.fields)) {
		k.visited++
		k.most = max(k.most, k.visited)
		if !visit([]byte(owner), []byte(e.fields[owner])) {
			return
		}
	}
}

// cursor goes through the owners in their order, after the last one visited.
type cursor struct {
	k     *keyspace
	after string
}

func (k *keyspace) Cursor() locktable.Cursor { k.cursors++; return &cursor{k: k} }

func (c *cursor) Close() { c.k.cursors-- }

func (k *keyspace) Scan(at locktable.Cursor, fields int, visit func(owner, record []byte) bool) (more bool) {
	c := at.(*cursor)
	e := k.at()
	for _, owner := range slices.Sorted(maps.Keys(e.fields)) {
		if owner <= c.after {
			continue
		}
		if fields == 0 {
			return true
		}
		fields--
		k.visited++
		k.most = max(k.most, k.visited)
		if c.after = owner; !visit([]byte(owner), []byte(e.fields[owner])) {
			break
		}
	}
	return false
}

func (k *keyspace) Token() *int64 { return new(int64) }

func (k *keyspace) Logged(func(hash uint64, expires, at, held int64)) {}

func (k *keyspace) Hash(db int, name []byte) uint64 {
	return maphash.Bytes(seed, name) ^ uint64(db)*0x9e3779b97f4a7c15
}

var seed = maphash.MakeSeed()

func (k *keyspace) Watch(db int, name []byte) {
	k.watched[locktable.Key{DB: db, Name: string(name)}] = true
}

func (k *keyspace) Unwatch(db int, name []byte) {
	delete(k.watched, locktable.Key{DB: db, Name: string(name)})
}

func (k *keyspace) WatchClient(client uint64) {
	if k.clients[client] {
		panic("a client is watched twice")
	}
	k.clients[client] = true
}

func (k *keyspace) UnwatchClient(client uint64) {
	if !k.clients[client] {
		panic("a client is unwatched that is not watched")
	}
	delete(k.clients, client)
}

// service is a table with its keyspace, a clock, and callers by name.
type service struct {
	t *testing.T
	*locktable.Table
	keyspace *keyspace
	limits   locktable.Limits
	woken    []string // in order
}

func newService(t *testing.T) *service {
	k := newKeyspace(1_790_000_000_000)
	s := &service{t: t, keyspace: k, limits: locktable.Limits{MaxWaiters: 10000}}
	s.restart()
	return s
}

// restart is a new node over the same keyspace.
func (s *service) restart() {
	clear(s.keyspace.watched)
	clear(s.keyspace.clients)
	s.Table = locktable.New(s.keyspace, &s.limits, s.keyspace.now)
}

// caller is one waiting connection.
type caller struct {
	locktable.Waiter
	service *service
	who     string
}

func (c *caller) Wake() { c.service.woken = append(c.service.woken, c.who) }

func request(name, owner string, limit, ttl int64) locktable.Request {
	return locktable.Request{Name: []byte(name), Owner: []byte(owner), Limit: limit, TTL: ttl}
}

// try asks without waiting.
func (s *service) try(name, owner string, limit, ttl int64) (token int64) {
	s.t.Helper()
	r := request(name, owner, limit, ttl)
	v, err := s.Acquire(s.keyspace.now, &r)
	if err != nil || v.Wait {
		s.t.Fatalf("%s tries %s: %+v, %v", owner, name, v, err)
	}
	return v.Token
}

// mustGet asks without waiting, and gets it.
func (s *service) mustGet(name, owner string, limit, ttl int64) int64 {
	s.t.Helper()
	token := s.try(name, owner, limit, ttl)
	if token == 0 {
		s.t.Fatalf("%s did not get %s", owner, name)
	}
	return token
}

// ask asks and would wait.
func (s *service) ask(r locktable.Request) (*caller, error) {
	r.Block = true
	v, err := s.Acquire(s.keyspace.now, &r)
	if err != nil {
		return nil, err
	}
	c := &caller{service: s, who: string(r.Owner)}
	c.Handle = c
	if c.Token = v.Token; v.Wait {
		s.Enqueue(s.keyspace.now, &r, v, &c.Waiter)
	}
	return c, nil
}

// mustWait asks, and has to wait.
func (s *service) mustWait(name, owner string, limit, ttl int64) *caller {
	s.t.Helper()
	c, err := s.ask(request(name, owner, limit, ttl))
	if err != nil || c.Token != 0 {
		s.t.Fatalf("%s need not wait for %s: %v, %v", owner, name, c, err)
	}
	return c
}

func (s *service) release(name, owner string) bool {
	s.t.Helper()
	n, err := s.Release(s.keyspace.now, &locktable.Claim{Name: []byte(name), Owner: []byte(owner)})
	if err != nil {
		s.t.Fatal(err)
	}
	return n == 1
}

func (s *service) extend(name, owner string, ttl int64) bool {
	s.t.Helper()
	ok, err := s.Extend(s.keyspace.now, &locktable.Claim{Name: []byte(name), Owner: []byte(owner)}, ttl)
	if err != nil {
		s.t.Fatal(err)
	}
	return ok
}

// never is the answer of a clock whose slice of time is not over yet.
func never() bool { return false }

// pass lets time go by, calling Run when it wants to be called, not before.
func (s *service) pass(ms int64) {
	for target := s.keyspace.now + ms; ; {
		at, ok := s.Next(s.keyspace.now)
		if !ok || at > target {
			s.keyspace.now = target
			return
		}
		s.keyspace.now = max(at, s.keyspace.now)
		s.Run(s.keyspace.now, never)
	}
}

// wokenAre checks who was woken since the last time, in order.
func (s *service) wokenAre(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.woken, want) {
		s.t.Fatalf("woken: %q, want %q", s.woken, want)
	}
	s.woken = nil
}

// holders are the names of those who hold, sorted.
func (s *service) holders(name string) (owners []string) {
	s.t.Helper()
	_, err := s.Holders(s.keyspace.now, 0, []byte(name), func(owner []byte, _ *locktable.Holder) {
		owners = append(owners, string(owner))
	})
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(owners)
	return owners
}

func (s *service) heldBy(name string, want ...string) {
	s.t.Helper()
	if got := s.holders(name); !slices.Equal(got, want) {
		s.t.Fatalf("%s is held by %q, want %q", name, got, want)
	}
}
