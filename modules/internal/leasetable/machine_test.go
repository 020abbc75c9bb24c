package leasetable_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"holdfast/modules/internal/leasetable"
)

// steps is how long the machine runs, over all its runs.
const steps = 100_000

// Whatever callers, loaders, timeouts, lost connections, invalidations and
// flushes do in whatever order, the table agrees with a model that is nothing
// but a slice of waiters and a lease for each key; and after each turn of the
// event loop whoever still waits waits for a living loader.
func TestTheTableAgreesWithASimpleModel(t *testing.T) {
	done := 0
	for done < steps {
		rapid.Check(t, func(t *rapid.T) {
			m := newMachine()
			t.Repeat(map[string]func(*rapid.T){
				"lock":         m.lock,
				"fetch":        m.fetch,
				"fetch again":  m.fetch,
				"extend":       m.extend,
				"store":        m.store,
				"unlock":       m.unlock,
				"fail":         m.fail,
				"invalidate":   m.invalidate,
				"plain write":  m.plainWrite,
				"flush":        m.flush,
				"timeout":      m.timeout,
				"gone":         m.gone,
				"turn":         m.turn,
				"time goes by": m.timeGoesBy,
				"count":        m.count,
				"":             m.check,
			})
			done += m.steps
		})
	}
	t.Logf("%d steps", done)
}

type caller struct {
	*leasetable.Waiter[int]
	key     string
	want    leasetable.Outcome
	waiting bool // not yet taken out of the table
}

type modelLease struct {
	token                  uint64
	granted, deadline, end int64
	failed                 bool // a backoff, which nobody holds
}

type machine struct {
	table   *leasetable.Table[int]
	watched watched
	now     int64
	steps   int

	leases  map[string]*modelLease
	queues  map[string][]*caller // with nothing decided
	callers []*caller
	tokens  []uint64 // all ever granted

	promotions int
	rechecked  bool // since a flush, not all who wait were looked after
}

// watched checks that a key is watched once, and unwatched once.
type watched map[uint64]string

func (w watched) Watch(k leasetable.Key) uint64 {
	for _, name := range w {
		if name == keyName(k) {
			panic("watched twice: " + name)
		}
	}
	h := uint64(len(w))
	for _, taken := w[h]; taken; _, taken = w[h] {
		h++
	}
	w[h] = keyName(k)
	return h
}

func (w watched) Unwatch(h uint64) {
	if _, ok := w[h]; !ok {
		panic(fmt.Sprint("unwatched what is not watched: ", h))
	}
	delete(w, h)
}

func (w watched) UnwatchAll() { clear(w) }

func newMachine() *machine {
	w := watched{}
	return &machine{
		table: leasetable.New[int](1000, w), watched: w, now: 1_000_000,
		leases: map[string]*modelLease{}, queues: map[string][]*caller{},
	}
}

var (
	names     = rapid.SampledFrom([]string{"0/a", "0/b", "1/a"})
	durations = rapid.Int64Range(1, 20)
)

func keyOf(name string) leasetable.Key {
	return leasetable.Key{DB: int(name[0] - '0'), Name: []byte(name[2:])}
}

func keyName(k leasetable.Key) string { return fmt.Sprintf("%d/%s", k.DB, k.Name) }

// The model.

func (m *machine) live(key string) *modelLease {
	if l := m.leases[key]; l != nil && m.now < l.deadline {
		return l
	}
	return nil
}

func (m *machine) storable(key string, token uint64) bool {
	l := m.leases[key]
	return l != nil && !l.failed && l.token == token && m.now < l.end
}

func (m *machine) grant(key string, lease, load int64) uint64 {
	token := uint64(1001 + len(m.tokens))
	m.tokens = append(m.tokens, token)
	m.leases[key] = &modelLease{token, m.now, m.now + lease, m.now + max(lease, load), false}
	return token
}

func (m *machine) promote(key string) {
	w := m.queues[key][0]
	m.queues[key] = m.queues[key][1:]
	w.want = leasetable.Outcome{Status: leasetable.Load, Token: m.grant(key, w.LeaseMs, w.LoadMs)}
	m.promotions++
}

// seek grants the lease of key to its caller, or says that the caller must wait.
func (m *machine) seek(key string, lease, load int64) (uint64, bool) {
	switch {
	case m.live(key) != nil:
		return 0, false
	case len(m.queues[key]) > 0:
		m.promote(key)
		return 0, false
	}
	return m.grant(key, lease, load), true
}

func (m *machine) tell(key string, o leasetable.Outcome) int {
	n := len(m.queues[key])
	for _, w := range m.queues[key] {
		w.want = o
	}
	m.queues[key] = nil
	return n
}

func (m *machine) leaveQueue(c *caller) {
	for i, w := range m.queues[c.key] {
		if w == c {
			m.queues[c.key] = append(append([]*caller{}, m.queues[c.key][:i]...), m.queues[c.key][i+1:]...)
			return
		}
	}
}

// What happens.

func (m *machine) lock(t *rapid.T) {
	key, lease, load := names.Draw(t, "key"), durations.Draw(t, "lease"), durations.Draw(t, "load")
	token, ok := m.table.Grant(keyOf(key), m.now, lease, load)
	if want, wantOK := m.seek(key, lease, load); token != want || ok != wantOK {
		t.Fatalf("Grant = %d %v, want %d %v", token, ok, want, wantOK)
	}
}

func (m *machine) fetch(t *rapid.T) {
	key, lease, load := names.Draw(t, "key"), durations.Draw(t, "lease"), durations.Draw(t, "load")
	_, ok := m.table.Grant(keyOf(key), m.now, lease, load)
	if _, wantOK := m.seek(key, lease, load); ok != wantOK {
		t.Fatalf("Grant = %v, want %v", ok, wantOK)
	}
	if ok || m.backsOff(key) { // the caller is answered at once
		return
	}
	c := &caller{
		Waiter:  &leasetable.Waiter[int]{Who: len(m.callers), LeaseMs: lease, LoadMs: load},
		key:     key,
		waiting: true,
	}
	m.callers = append(m.callers, c)
	m.queues[key] = append(m.queues[key], c)
	m.table.Wait(keyOf(key), c.Waiter)
}

func (m *machine) token(t *rapid.T, key string) uint64 {
	if l := m.leases[key]; l != nil && rapid.Bool().Draw(t, "the right token") {
		return l.token
	}
	if len(m.tokens) == 0 {
		t.Skip("no token yet")
	}
	return rapid.SampledFrom(m.tokens).Draw(t, "token")
}

func (m *machine) extend(t *rapid.T) {
	key, lease := names.Draw(t, "key"), durations.Draw(t, "lease")
	token := m.token(t, key)
	ok := m.table.Extend(keyOf(key), token, m.now, lease)
	if want := m.storable(key, token); ok != want {
		t.Fatalf("Extend = %v, want %v", ok, want)
	}
	if ok {
		l := m.leases[key]
		l.deadline = min(m.now+lease, l.end)
	}
}

// end ends a lease in both and says whether the token was the live one.
func (m *machine) end(t *rapid.T, key string, token uint64) bool {
	age, ok := m.table.End(keyOf(key), token, m.now)
	l := m.leases[key]
	want := l != nil && m.now < l.end && !l.failed && (token == leasetable.AnyToken || token == l.token)
	if ok != want || ok && age != m.now-l.granted {
		t.Fatalf("End = %d %v, want %v of lease %+v", age, ok, want, l)
	}
	if want || token == leasetable.AnyToken {
		delete(m.leases, key)
	}
	return want
}

func (m *machine) store(t *rapid.T) {
	key := names.Draw(t, "key")
	if m.end(t, key, m.token(t, key)) {
		o := leasetable.Outcome{Status: leasetable.Hit, Value: []byte("v")}
		if got, want := m.table.Resolve(keyOf(key), o), m.tell(key, o); got != want {
			t.Fatalf("Tell = %d, want %d", got, want)
		}
	}
}

func (m *machine) backsOff(key string) bool {
	l := m.leases[key]
	return l != nil && l.failed && m.now < l.end
}

func (m *machine) fail(t *rapid.T) {
	key, backoff := names.Draw(t, "key"), rapid.Int64Range(0, 20).Draw(t, "backoff")
	token := m.token(t, key)
	message := fmt.Sprint("LOADFAILED ", m.steps)
	want := m.storable(key, token)
	told, ok := m.table.Fail(keyOf(key), token, m.now, message, backoff)
	if ok != want {
		t.Fatalf("Fail = %v, want %v", ok, want)
	}
	if !ok {
		return
	}
	delete(m.leases, key)
	if n := m.tell(key, leasetable.Outcome{Status: leasetable.Failed, Err: message}); n != told {
		t.Fatalf("Fail told %d, want %d", told, n)
	}
	if backoff > 0 {
		m.grant(key, backoff, 0)
		m.leases[key].failed = true
	}
}

func (m *machine) unlock(t *rapid.T) {
	key := names.Draw(t, "key")
	if m.end(t, key, m.token(t, key)) {
		m.promoteNext(t, key)
	}
}

func (m *machine) invalidate(t *rapid.T) {
	key := names.Draw(t, "key")
	m.end(t, key, leasetable.AnyToken)
	m.promoteNext(t, key)
}

func (m *machine) promoteNext(t *rapid.T, key string) {
	want := len(m.queues[key]) > 0 && m.live(key) == nil
	if got := m.table.Promote(keyOf(key), m.now); got != want {
		t.Fatalf("Promote = %v, want %v", got, want)
	}
	if want {
		m.promote(key)
	}
}

// plainWrite is what a notification does: it ends the lease and leaves the rest
// to the next turn.
func (m *machine) plainWrite(t *rapid.T) { m.end(t, names.Draw(t, "key"), leasetable.AnyToken) }

func (m *machine) flush(t *rapid.T) {
	db := rapid.IntRange(-1, 1).Draw(t, "db")
	m.table.Flush(db)
	m.rechecked = true
	for key := range m.leases {
		if db < 0 || keyOf(key).DB == db {
			delete(m.leases, key)
		}
	}
}

func (m *machine) someone(t *rapid.T) *caller {
	if len(m.callers) == 0 {
		t.Skip("nobody called yet")
	}
	c := rapid.SampledFrom(m.callers).Draw(t, "who")
	if !c.waiting {
		t.Skip("is answered")
	}
	return c
}

func (m *machine) timeout(t *rapid.T) {
	c := m.someone(t)
	m.table.Leave(c.Waiter)
	m.leaveQueue(c)
	c.waiting = false
	m.sameOutcome(t, c)
}

func (m *machine) gone(t *rapid.T) {
	c := m.someone(t)
	m.table.Gone(c.Waiter, m.now)
	m.leaveQueue(c)
	c.waiting = false
	if c.want.Token != 0 && m.storable(c.key, c.want.Token) {
		delete(m.leases, c.key)
		if len(m.queues[c.key]) > 0 {
			m.promote(c.key)
		}
	}
}

func (m *machine) timeGoesBy(t *rapid.T) { m.now += rapid.Int64Range(1, 10).Draw(t, "ms") }

func (m *machine) turn(t *rapid.T) {
	m.table.BeginTurn(m.now)
	enough := rapid.Bool().Draw(t, "enough after one")
	for k, ok := m.table.Undecided(); ok; k, ok = m.table.Undecided() {
		key := keyName(k)
		if len(m.queues[key]) == 0 {
			t.Fatalf("%s is undecided and nobody waits for it", key)
		}
		if m.live(key) != nil { // rechecked, and all is well
			if m.table.Promote(k, m.now) {
				t.Fatalf("a waiter for %s is promoted beside %+v", key, m.leases[key])
			}
			continue
		}
		if rapid.Bool().Draw(t, "a value is there") {
			o := leasetable.Outcome{Status: leasetable.Hit, Value: []byte("w")}
			m.table.Resolve(k, o)
			m.tell(key, o)
		} else {
			m.promoteNext(t, key)
		}
		if enough {
			break
		}
	}
	for w := m.table.Ready(); w != nil; w = m.table.Ready() {
		c := m.callers[w.Who]
		if !c.waiting || c.want.Status == leasetable.Wait {
			t.Fatalf("caller %d woken (waiting %v) with %+v decided", w.Who, c.waiting, c.want)
		}
		c.waiting = false
		m.sameOutcome(t, c)
	}
	m.rechecked = m.rechecked && enough
	for _, c := range m.callers {
		if c.waiting && (c.want.Status != leasetable.Wait || m.live(c.key) == nil && !enough) {
			t.Fatalf("caller %d is left over: decided %+v, lease %+v", c.Who, c.want, m.leases[c.key])
		}
	}
}

func (m *machine) sameOutcome(t *rapid.T, c *caller) {
	got := c.Outcome()
	if got.Status != c.want.Status || got.Token != c.want.Token || string(got.Value) != string(c.want.Value) {
		t.Fatalf("caller %d is told %+v, want %+v", c.Who, got, c.want)
	}
}

func (m *machine) check(t *rapid.T) {
	m.steps++
	waiting, next := 0, int64(0)
	urgent := false
	for _, c := range m.callers {
		if c.waiting {
			waiting++
			m.sameOutcome(t, c)
			urgent = urgent || c.want.Status != leasetable.Wait || m.leases[c.key] == nil
			if l := m.leases[c.key]; !urgent && (next == 0 || l.deadline < next) {
				next = l.deadline
			}
		}
	}
	if m.table.Promotions() != m.promotions {
		t.Fatalf("%d promotions, want %d", m.table.Promotions(), m.promotions)
	}
	if m.table.Waiting() != waiting {
		t.Fatalf("%d waiting, want %d", m.table.Waiting(), waiting)
	}
	at, ok := m.table.Next(m.now)
	if urgent {
		next = m.now
	}
	// Where somebody was woken the turn must end first.
	at = max(at, m.now)
	if waiting > 0 && (!ok || at != max(next, m.now) && at != m.now+1 && !(m.rechecked && at == m.now)) {
		t.Fatalf("next turn at %d %v, want %d (urgent %v)", at, ok, next, urgent)
	}
	for _, name := range []string{"0/a", "0/b", "1/a"} {
		l := m.leases[name]
		_, left, failed := m.table.Backoff(keyOf(name), m.now)
		if want := m.backsOff(name); failed != want || failed && left != l.end-m.now {
			t.Fatalf("backoff of %s is %v, %d ms left, want %v", name, failed, left, want)
		}
		got, ok := m.table.Lease(keyOf(name), m.now)
		if want := l != nil && m.now < l.end && !l.failed; ok != want {
			t.Fatalf("lease of %s: %v, want %+v", name, ok, l)
		}
		if ok {
			if want := (leasetable.Lease{Age: m.now - l.granted, Left: max(l.deadline-m.now, 0), BudgetLeft: l.end - m.now}); got != want {
				t.Fatalf("lease of %s = %+v, want %+v", name, got, want)
			}
		}
		if n := m.table.WaitingFor(keyOf(name)); n != len(m.queues[name]) {
			t.Fatalf("%d wait for %s, want %d", n, name, len(m.queues[name]))
		}
	}
}

// count asks for the number of leases. Those that are over may be watched still,
// until they are swept; those that are alive must be.
func (m *machine) count(t *rapid.T) {
	leases, backoffs := 0, 0
	for _, l := range m.leases {
		switch {
		case m.now < l.end && l.failed:
			backoffs++
		case m.now < l.end:
			leases++
		}
	}
	if n := m.table.Backoffs(m.now); n != backoffs {
		t.Fatalf("%d backoffs, want %d", n, backoffs)
	}
	if n := m.table.Leases(m.now); n != leases || len(m.watched) < leases+backoffs {
		t.Fatalf("%d leases, %d watched, want %d", n, len(m.watched), leases)
	}
}
