package locktable_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/modules/internal/locktable"
)

// The model of a lock service, written to be believed and not to be fast: all
// locks in one list, everything looked up anew each time, and after every step
// all that is due is done.
type model struct {
	now   int64
	locks []*modelLock
	woken []int // ids of requests, in order
}

type modelLock struct {
	name    string
	holders []modelHold
	queue   []modelWait
}

type modelHold struct {
	owner          string
	limit, expires int64
	client         uint64 // 0 for no session
	id             int    // the request that was granted
}

type modelWait struct {
	modelHold
	ttl int64
}

func (m *model) lock(name string) *modelLock {
	for _, l := range m.locks {
		if l.name == name {
			return l
		}
	}
	l := &modelLock{name: name}
	m.locks = append(m.locks, l)
	return l
}

func (l *modelLock) admits(w modelHold) bool {
	for _, h := range l.holders {
		if h.owner == w.owner || h.limit != w.limit {
			return false
		}
	}
	return w.limit == 0 || int64(len(l.holders)) < w.limit
}

// itself tells whether a waiter's owner holds the lock in the mode it waits for:
// it waits for its own release, and keeps nobody else waiting.
func (l *modelLock) itself(w modelWait) bool {
	return slices.ContainsFunc(l.holders, func(h modelHold) bool { return h.owner == w.owner && h.limit == w.limit })
}

// first is the place in the queue of the first who does not wait for itself.
func (l *modelLock) first() int {
	for i, w := range l.queue {
		if !l.itself(w) {
			return i
		}
	}
	return len(l.queue)
}

func (m *model) settle() {
	for _, l := range m.locks {
		l.holders = slices.DeleteFunc(l.holders, func(h modelHold) bool { return h.expires <= m.now })
		for i := l.first(); i < len(l.queue) && l.admits(l.queue[i].modelHold); i = l.first() {
			w := l.queue[i]
			l.queue = slices.Delete(l.queue, i, i+1)
			w.expires = m.now + w.ttl
			l.holders = append(l.holders, w.modelHold)
			m.woken = append(m.woken, w.id)
		}
	}
}

// nextExpiry is when the model must settle again on the way to target.
func (m *model) nextExpiry(target int64) int64 {
	for _, l := range m.locks {
		for _, h := range l.holders {
			target = min(target, h.expires)
		}
	}
	return target
}

// caught tells whether a request that now joined l as its last would wait for
// ever: owners are free unless something they wait for can never come. Start
// from nobody free but those who do not wait, and free whom they let go on.
func (m *model) caught(l *modelLock) bool {
	me := l.queue[len(l.queue)-1]
	waitedFor, waits := false, 0
	for _, o := range m.locks {
		for _, w := range o.queue {
			if w.owner == me.owner {
				waits++
			}
		}
		if len(o.queue) > 0 && (o != l || len(o.queue) > 1) {
			waitedFor = waitedFor || slices.ContainsFunc(o.holders, func(h modelHold) bool { return h.owner == me.owner })
		}
	}
	if !waitedFor && waits == 1 {
		return false
	}
	free := map[string]bool{}
	isFree := func(owner string) bool {
		for _, o := range m.locks {
			for i, w := range o.queue {
				if w.owner == owner && !o.servable(i, free) {
					return false
				}
			}
		}
		return true
	}
	for again := true; again; {
		again = false
		for _, o := range m.locks {
			for _, w := range o.queue {
				if !free[w.owner] && isFree(w.owner) {
					free[w.owner], again = true, true
				}
			}
			for _, h := range o.holders {
				if !free[h.owner] && isFree(h.owner) {
					free[h.owner], again = true, true
				}
			}
		}
	}
	return !l.servable(len(l.queue)-1, free)
}

// servable tells whether the i-th in the queue gets the lock once those who
// are free let go.
func (l *modelLock) servable(i int, free map[string]bool) bool {
	me := l.queue[i]
	itself, sameMode, anyFree, allFree := false, true, false, true
	for _, h := range l.holders {
		itself = itself || h.owner == me.owner
		sameMode = sameMode && h.limit == me.limit
		if h.owner != me.owner {
			anyFree = anyFree || free[h.owner]
			allFree = allFree && free[h.owner]
		}
	}
	if !itself {
		for _, w := range l.queue[:i] {
			if w.owner == me.owner {
				break
			}
			if !free[w.owner] && !l.itself(w) {
				return false
			}
		}
	}
	switch full := me.limit > 0 && int64(len(l.holders)) >= me.limit; {
	case !sameMode:
		return allFree
	case itself || !full:
		return true
	default:
		return anyFree
	}
}

// conn is one connection of the state machine, with at most one request.
type conn struct {
	locktable.Waiter
	id     int
	client uint64
	m      *machine
}

func (c *conn) Wake() { c.m.woken = append(c.m.woken, c.id) }

type machine struct {
	model     model
	table     *locktable.Table
	keyspace  *keyspace
	waiting   []*conn
	granted   []*conn // woken, and not told yet
	woken     []int
	withdrawn []int
	requests  int
	last      int64 // token
	removed   bool  // a key, by an operator
	steps     *int
}

var (
	someLock   = rapid.SampledFrom([]string{"l", "m", "n"})
	someOwner  = rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
	someLimit  = rapid.SampledFrom([]int64{1, 1, 1, 0, 0, 2, 3})
	someTTL    = rapid.Int64Range(1, 400)
	someClient = rapid.Uint64Range(1, 4)
)

// runTo passes the time in both. The table is only run when it asks for it.
func (m *machine) runTo(target int64) {
	for {
		step := m.model.nextExpiry(target)
		at, ok := m.table.Next(m.keyspace.now)
		if ok {
			step = min(step, max(at, m.keyspace.now))
		}
		m.keyspace.now, m.model.now = step, step
		if ok && at <= step {
			m.table.Run(step, never)
		}
		m.model.settle()
		if at, ok = m.table.Next(step); step == target && (!ok || at > target) {
			return
		}
	}
}

func (m *machine) saw(t *rapid.T, token int64) {
	if token <= m.last {
		t.Fatalf("token %d after %d", token, m.last)
	}
	m.last = token
}

func (m *machine) acquire(t *rapid.T) {
	name, owner, limit := someLock.Draw(t, "lock"), someOwner.Draw(t, "owner"), someLimit.Draw(t, "limit")
	r := request(name, owner, limit, someTTL.Draw(t, "ttl"))
	r.Block = rapid.Bool().Draw(t, "block")
	if rapid.IntRange(0, 3).Draw(t, "session") == 0 {
		r.Session, r.Client = true, someClient.Draw(t, "client")
	}
	if rapid.Bool().Draw(t, "meta") { // then an exclusive lock is a hash, and else a string
		r.Meta = []byte("meta")
	}
	m.requests++
	hold := modelHold{owner: owner, limit: limit, client: r.Client, id: m.requests, expires: m.model.now + r.TTL}
	l := m.model.lock(name)

	v, err := m.table.Acquire(m.keyspace.now, &r)
	switch {
	case l.first() == len(l.queue) && l.admits(hold):
		if err != nil || v.Token == 0 {
			t.Fatalf("not granted: %+v, %v", v, err)
		}
		m.saw(t, v.Token)
		l.holders = append(l.holders, hold)
	case !r.Block:
		if err != nil || v.Token != 0 || v.Wait {
			t.Fatalf("not refused: %+v, %v", v, err)
		}
	default:
		l.queue = append(l.queue, modelWait{hold, r.TTL})
		if m.model.caught(l) {
			l.queue = l.queue[:len(l.queue)-1]
			if _, ok := errors.AsType[*locktable.DeadlockError](err); !ok {
				t.Fatalf("a deadlock was not seen: %+v, %v", v, err)
			}
			return
		}
		if err != nil || !v.Wait {
			t.Fatalf("need not wait: %+v, %v", v, err)
		}
		c := &conn{id: m.requests, client: r.Client, m: m}
		c.Handle = c
		m.table.Enqueue(m.keyspace.now, &r, v, &c.Waiter)
		m.waiting = append(m.waiting, c)
	}
}

// pick takes a random one out of a list.
func pick[E any](t *rapid.T, from *[]E) E {
	if len(*from) == 0 {
		t.Skip("there is none")
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
	e := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return e
}

// withdraw ends an owner's waits for a lock, which is answered with no grant.
func (m *machine) withdraw(name, owner string) {
	l := m.model.lock(name)
	l.queue = slices.DeleteFunc(l.queue, func(w modelWait) bool {
		if w.owner == owner {
			m.withdrawn = append(m.withdrawn, w.id)
		}
		return w.owner == owner
	})
}

// leaves takes a waiter out of the model's queues.
func (m *machine) leaves(id int) {
	for _, l := range m.model.locks {
		l.queue = slices.DeleteFunc(l.queue, func(w modelWait) bool { return w.id == id })
	}
}

// ends takes holders out of the model.
func (m *machine) ends(why func(*modelLock, modelHold) bool) (n int) {
	for _, l := range m.model.locks {
		before := len(l.holders)
		l.holders = slices.DeleteFunc(l.holders, func(h modelHold) bool { return why(l, h) })
		n += before - len(l.holders)
	}
	return n
}

func (m *machine) check(t *rapid.T) {
	*m.steps++
	m.runTo(m.keyspace.now)
	m.model.settle()

	byID := func(ids []int) []int { ids = slices.Clone(ids); slices.Sort(ids); return ids }
	if want := append(m.model.woken, m.withdrawn...); !slices.Equal(byID(m.woken), byID(want)) {
		t.Fatalf("woken %v, want %v and withdrawn %v", m.woken, m.model.woken, m.withdrawn)
	}
	for _, id := range m.woken {
		i := slices.IndexFunc(m.waiting, func(c *conn) bool { return c.id == id })
		c := m.waiting[i]
		m.waiting = slices.Delete(m.waiting, i, i+1)
		if slices.Contains(m.withdrawn, id) {
			if c.Token != 0 || c.Err != nil {
				t.Fatalf("withdrawn and told %d, %v", c.Token, c.Err)
			}
			continue
		}
		m.granted = append(m.granted, c)
		m.saw(t, c.Token)
	}
	m.woken, m.model.woken, m.withdrawn = nil, nil, nil

	watched := 0
	for _, l := range m.model.locks {
		var want, got []string
		last := int64(0)
		for _, h := range l.holders {
			want = append(want, fmt.Sprint(h.owner, h.limit, h.expires))
			last = max(last, h.expires)
		}
		_, err := m.table.Holders(m.keyspace.now, 0, []byte(l.name), func(owner []byte, r *locktable.Holder) {
			got = append(got, fmt.Sprint(string(owner), r.Limit, r.Expires))
		})
		slices.Sort(want)
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s is held by %v (%v), want %v", l.name, got, err, want)
		}
		if e := m.keyspace.keys[locktable.Key{Name: l.name}]; last > 0 && e.expires != last {
			t.Fatalf("%s expires at %d, its last holder at %d", l.name, e.expires, last)
		}
		var queue, line []string
		for _, w := range l.queue {
			queue = append(queue, w.owner)
		}
		m.table.Waiters(0, []byte(l.name), func(w *locktable.Waiter) bool { line = append(line, w.Owner); return true })
		if !slices.Equal(line, queue) {
			t.Fatalf("%v wait for %s, want %v", line, l.name, queue)
		}
		if watching := m.keyspace.watched[locktable.Key{Name: l.name}]; watching != (len(queue) > 0) {
			t.Fatalf("%s is watched: %v, with %d waiting", l.name, watching, len(queue))
		}
		watched += len(queue)
	}
	if _, ok := m.table.Next(m.keyspace.now); ok && watched == 0 {
		t.Fatal("nobody waits, and yet there is something to do later")
	}
	held := 0
	for _, l := range m.model.locks {
		held += min(1, len(l.holders))
	}
	// The gauge learns of a removed key when somebody asks for the lock, or at
	// the end of the lease: until then it counts too many, never too few.
	gauge := m.table.Held(m.keyspace.now)
	if m.table.Waiting() != watched || gauge < int64(held) || !m.removed && gauge > int64(held) {
		t.Fatalf("gauges: waiting %d of %d, held %d of %d", m.table.Waiting(), watched, gauge, held)
	}
}

// Whatever is asked, extended, released, broken, removed, timed out or lost in
// whatever order, the table and the model agree on who holds, who waits, who
// was woken and who was refused as a deadlock.
func TestTheTableDoesWhatTheModelDoes(t *testing.T) {
	steps := 0
	property := func(t *rapid.T) {
		k := newKeyspace(1_790_000_000_000)
		m := &machine{keyspace: k, table: locktable.New(k, &locktable.Limits{MaxWaiters: 10000}, k.now), steps: &steps}
		m.model.now = k.now
		t.Repeat(map[string]func(*rapid.T){
			"acquire":      m.acquire,
			"acquire too":  m.acquire,
			"acquire more": m.acquire,
			"release": func(t *rapid.T) {
				name, owner := someLock.Draw(t, "lock"), someOwner.Draw(t, "owner")
				m.withdraw(name, owner)
				got, err := m.table.Release(k.now, &locktable.Claim{Name: []byte(name), Owner: []byte(owner)})
				n := m.ends(func(l *modelLock, h modelHold) bool { return l.name == name && h.owner == owner })
				if err != nil || got != n {
					t.Fatalf("release %v, %v, want %d", got, err, n)
				}
			},
			"extend": func(t *rapid.T) {
				name, owner, ttl := someLock.Draw(t, "lock"), someOwner.Draw(t, "owner"), someTTL.Draw(t, "ttl")
				ok, err := m.table.Extend(k.now, &locktable.Claim{Name: []byte(name), Owner: []byte(owner)}, ttl)
				l, want := m.model.lock(name), false
				for i := range l.holders {
					if l.holders[i].owner == owner {
						l.holders[i].expires, want = k.now+ttl, true
					}
				}
				if err != nil || ok != want {
					t.Fatalf("extend %v, %v, want %v", ok, err, want)
				}
			},
			"break": func(t *rapid.T) {
				name := someLock.Draw(t, "lock")
				var owner []byte
				if rapid.Bool().Draw(t, "one") {
					owner = []byte(someOwner.Draw(t, "owner"))
					m.withdraw(name, string(owner))
				}
				n, err := m.table.Break(k.now, 0, []byte(name), owner)
				want := m.ends(func(l *modelLock, h modelHold) bool {
					return l.name == name && (owner == nil || h.owner == string(owner))
				})
				if err != nil || n != want {
					t.Fatalf("broke %d, %v, want %d", n, err, want)
				}
			},
			"timeout": func(t *rapid.T) {
				c := pick(t, &m.waiting)
				if !m.table.Timeout(&c.Waiter) {
					t.Fatal("it did not wait")
				}
				m.leaves(c.id)
			},
			"lost while waiting": func(t *rapid.T) {
				c := pick(t, &m.waiting)
				m.table.Gone(&c.Waiter)
				m.leaves(c.id)
			},
			"lost when granted": func(t *rapid.T) {
				c := pick(t, &m.granted)
				m.table.Gone(&c.Waiter)
				m.ends(func(_ *modelLock, h modelHold) bool { return h.id == c.id })
			},
			"told": func(t *rapid.T) { pick(t, &m.granted) },
			"disconnect": func(t *rapid.T) {
				client := someClient.Draw(t, "client")
				m.table.Disconnected(client)
				m.ends(func(_ *modelLock, h modelHold) bool { return h.client == client })
			},
			"removed by an operator": func(t *rapid.T) {
				name := someLock.Draw(t, "lock")
				delete(k.keys, locktable.Key{Name: name})
				m.removed = true
				m.table.Touched(0, []byte(name))
				m.ends(func(l *modelLock, _ modelHold) bool { return l.name == name })
			},
			"time": func(t *rapid.T) { m.runTo(k.now + rapid.Int64Range(1, 300).Draw(t, "ms")) },
			"":     m.check,
		})
	}
	for steps < 100_000 && !t.Failed() {
		rapid.Check(t, property)
	}
	t.Logf("%d steps", steps)
}
