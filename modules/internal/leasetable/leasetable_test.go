package leasetable_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/modules/internal/leasetable"
)

// story is a table, a clock and callers known by name.
type story struct {
	*leasetable.Table[string]
	callers map[string]*leasetable.Waiter[string]
}

var page = leasetable.Key{Name: []byte("page")}

func newStory() *story {
	return &story{leasetable.New[string](0, watched{}), map[string]*leasetable.Waiter[string]{}}
}

// fetch asks for page as FETCH with BLOCK does, with a lease of 10 ms within a
// load of 30 ms.
func (s *story) fetch(who string, now int64) (token uint64) {
	token, ok := s.Grant(page, now, 10, 30)
	if !ok {
		w := &leasetable.Waiter[string]{Who: who, LeaseMs: 10, LoadMs: 30}
		s.callers[who] = w
		s.Wait(page, w)
	}
	return token
}

// turn is one turn of the event loop in which no value is found for anyone
// undecided. It answers with who was woken and what each was told.
func (s *story) turn(now int64) (woken []string) {
	s.begin(now)
	for w := s.Ready(); w != nil; w = s.Ready() {
		woken = append(woken, told(w))
	}
	return woken
}

// begin is a turn up to where waiters are woken.
func (s *story) begin(now int64) {
	s.BeginTurn(now)
	for k, ok := s.Undecided(); ok; k, ok = s.Undecided() {
		s.Promote(k, now)
	}
}

func told(w *leasetable.Waiter[string]) string {
	switch o := w.Outcome(); o.Status {
	case leasetable.Load:
		return fmt.Sprint(w.Who, " loads with ", o.Token)
	case leasetable.Hit:
		return fmt.Sprintf("%s has %s", w.Who, o.Value)
	case leasetable.Failed:
		return fmt.Sprintf("%s fails: %s", w.Who, o.Err)
	default:
		return fmt.Sprint(w.Who, " is told ", o.Status)
	}
}

func value(v string) leasetable.Outcome {
	return leasetable.Outcome{Status: leasetable.Hit, Value: []byte(v)}
}

// Races, each with the interleaving in which it was thought of or found. a holds
// token 1 from time 0 on; b and c wait.
func TestWhatBecomesOfThoseWhoWait(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(s *story) []string
		want []string
	}{
		{"the value reaches all who wait, in their order", func(s *story) []string {
			s.End(page, 1, 5)
			s.Resolve(page, value("v"))
			return s.turn(5)
		}, []string{"b has v", "c has v"}},
		{"a loader out of time is succeeded by the first alone", func(s *story) []string {
			return append(s.turn(9), s.turn(10)...)
		}, []string{"b loads with 2"}},
		{"then the late loader is refused, and the new one serves the rest", func(s *story) []string {
			s.turn(10)
			if _, ok := s.End(page, 1, 11); ok {
				return []string{"the dead token was taken"}
			}
			s.End(page, 2, 12)
			s.Resolve(page, value("v"))
			return s.turn(12)
		}, []string{"c has v"}},
		{"a late loader nobody has replaced yet still serves them", func(s *story) []string {
			s.End(page, 1, 10)
			s.Resolve(page, value("late"))
			return s.turn(10)
		}, []string{"b has late", "c has late"}},
		{"a newcomer does not overtake when the loader has just run out of time", func(s *story) []string {
			if s.fetch("d", 10) != 0 {
				return []string{"d overtook"}
			}
			return append(s.turn(10), s.turn(20)...)
		}, []string{"b loads with 2", "c loads with 3"}},
		{"a promoted waiter that died before it heard of it passes the lease on", func(s *story) []string {
			s.begin(10)
			b := s.Ready()
			s.Gone(b, 10)
			return s.turn(10)
		}, []string{"c loads with 3"}},
		{"a promoted waiter that died before it was woken passes the lease on", func(s *story) []string {
			s.begin(10)
			s.Gone(s.callers["b"], 10)
			return s.turn(10)
		}, []string{"c loads with 3"}},
		{"the death of a waiter that was promoted long ago takes no lease from its successor", func(s *story) []string {
			s.begin(10)
			b := s.Ready()
			c := s.turn(20)
			s.Gone(b, 21)
			return append(c, fmt.Sprint(s.Extend(page, 3, 21, 5)))
		}, []string{"c loads with 3", "true"}},
		{"a waiter whose time is over when the value is there still gets it", func(s *story) []string {
			s.End(page, 1, 5)
			s.Resolve(page, value("v"))
			s.Leave(s.callers["b"])
			return append(s.turn(5), told(s.callers["b"]))
		}, []string{"c has v", "b has v"}},
		{"a waiter whose time is over is told to wait, and the next is promoted", func(s *story) []string {
			s.Leave(s.callers["b"])
			return append(s.turn(10), told(s.callers["b"]))
		}, []string{"c loads with 2", "b is told 0"}},
		{"who comes after the store waits for another load", func(s *story) []string {
			s.End(page, 1, 5)
			s.Resolve(page, value("v"))
			s.End(page, leasetable.AnyToken, 5) // invalidated at once
			if token := s.fetch("d", 5); token != 2 {
				return []string{fmt.Sprint("d got ", token)}
			}
			s.fetch("e", 5)
			return append(s.turn(5), s.turn(15)...)
		}, []string{"b has v", "c has v", "e loads with 3"}},
		{"an invalidation makes the running load worthless and elects a new loader", func(s *story) []string {
			s.End(page, leasetable.AnyToken, 5)
			s.Promote(page, 5)
			_, old := s.End(page, 1, 6)
			return append(s.turn(6), fmt.Sprint("old token good: ", old))
		}, []string{"b loads with 2", "old token good: false"}},
		{"a flush does the same for its database", func(s *story) []string {
			s.Flush(1)
			before := s.turn(5)
			s.Flush(0)
			_, old := s.End(page, 1, 6)
			return append(append(before, s.turn(6)...), fmt.Sprint("old token good: ", old))
		}, []string{"b loads with 2", "old token good: false"}},
		{"nobody is promoted while an extended lease lasts, nor after its whole load", func(s *story) []string {
			s.Extend(page, 1, 9, 15)
			none := s.turn(23)
			s.Extend(page, 1, 23, 100)
			none = append(none, s.turn(29)...)
			return append(none, s.turn(30)...)
		}, []string{"b loads with 2"}},
		{"a loader that extends before anybody was promoted in its place goes on", func(s *story) []string {
			s.BeginTurn(10) // and enough: the next turn decides
			s.Extend(page, 1, 10, 10)
			return append(s.turn(19), s.turn(20)...)
		}, []string{"b loads with 2"}},
		{"when the loader lets go twice, one is promoted", func(s *story) []string {
			s.End(page, 1, 5)
			s.Promote(page, 5)
			s.Promote(page, 5)
			return s.turn(5)
		}, []string{"b loads with 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStory()
			if token := s.fetch("a", 0); token != 1 {
				t.Fatalf("a got token %d", token)
			}
			s.fetch("b", 1)
			s.fetch("c", 2)
			if diff := cmp.Diff(c.want, c.do(s)); diff != "" {
				t.Fatalf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// A thousand waiters must not stall the server at once, and nobody among them
// may be forgotten between two turns.
func TestManyWaitersAreWokenABatchEachTurn(t *testing.T) {
	s := newStory()
	s.fetch("a", 0)
	const callers = 1000
	for i := range callers {
		s.fetch(fmt.Sprint("b", i), 0)
	}
	s.End(page, 1, 1)
	s.Resolve(page, value("v"))
	var woken []string
	now := int64(1)
	for turn := 0; s.Waiting() > 0; turn++ {
		// A turn of its own for each batch, and no time lost.
		want := now + int64(min(turn, 1))
		if at, ok := s.Next(now); !ok || at != want {
			t.Fatalf("with %d waiting at %d the next turn is at %d %v, want %d", s.Waiting(), now, at, ok, want)
		}
		now = want
		batch := s.turn(now)
		if want := min(leasetable.Batch, callers-len(woken)); len(batch) != want {
			t.Fatalf("turn %d woke %d, want %d", turn, len(batch), want)
		}
		woken = append(woken, batch...)
	}
	for i, w := range woken {
		if want := fmt.Sprintf("b%d has v", i); w != want {
			t.Fatalf("woken %d: %s, want %s", i, w, want)
		}
	}
	s.turn(10)
	if at, ok := s.Next(10); ok {
		t.Fatalf("with nobody waiting a turn is wanted at %d", at)
	}
}

// Who is told to load does not stand behind a thousand who are given a value:
// all who wait for that load would stand there too.
func TestALoaderIsWokenBeforeABacklogOfValues(t *testing.T) {
	s := newStory()
	other := leasetable.Key{Name: []byte("other")}
	s.Grant(other, 0, 10, 10)
	w := &leasetable.Waiter[string]{Who: "x", LeaseMs: 10, LoadMs: 10}
	s.Wait(other, w)
	s.fetch("a", 0)
	for range 2 * leasetable.Batch {
		s.fetch("b", 0)
	}
	s.End(page, 1, 1)
	s.Resolve(page, value("v"))
	s.begin(10)
	if got := s.Ready(); got != w {
		t.Fatalf("the first woken is %v", got)
	}
}

// Leases nobody ends are cleared away by those that come after, without a timer.
func TestDeadLeasesAreSweptByNewOnes(t *testing.T) {
	w := &countWatcher{}
	table := leasetable.New[int](0, w)
	const n = 200_000
	for i := range n {
		table.Grant(numbered(i), int64(i), 10, 10)
	}
	// Ten live at any time. What lies about beside them is a quarter of the
	// grants in one round of the hand, which an almost empty table makes long:
	// it looks at a thousand empty places too.
	if w.n > 2000 {
		t.Fatalf("%d of %d leases are left, ten of them alive", w.n, n)
	}
	if got := table.Leases(n + 5); got != 4 {
		t.Fatalf("%d leases, want the 4 alive", got)
	}
}

// After a storm the memory comes back although the calm is not complete.
func TestTheMemoryOfAStormIsGivenBack(t *testing.T) {
	table := leasetable.New[int](0, &countWatcher{})
	before := heap()
	for i := range 300_000 {
		table.Grant(numbered(i), 0, 10, 10)
	}
	storm := heap() - before
	for i := range 100_000 {
		table.Grant(numbered(i), 20+int64(i), 10, 10)
	}
	if after := heap() - before; after > storm/5 {
		t.Fatalf("%d KB are kept of the %d KB of the storm", after>>10, storm>>10)
	}
	runtime.KeepAlive(table)
}

// The whole budget is 200 bytes. Outside, the watch of the key costs 21 to 43: a
// table of 16-byte entries, between three eighths and three quarters full.
func TestALeaseCostsUnder160Bytes(t *testing.T) {
	table := leasetable.New[int](0, &countWatcher{})
	for _, n := range []int{250_000, 500_000, 1_000_000} {
		table.Flush(-1)
		before := heap()
		for i := range n {
			table.Grant(numbered(i), 0, 1000, 1000)
		}
		each := (heap() - before) / uint64(n)
		t.Logf("%d leases: %d bytes each", n, each)
		if each >= 160 {
			t.Errorf("%d leases cost %d bytes each", n, each)
		}
	}
	runtime.KeepAlive(table)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type countWatcher struct{ n int }

func (c *countWatcher) Watch(leasetable.Key) uint64 { c.n++; return 0 }
func (c *countWatcher) Unwatch(uint64)              { c.n-- }
func (c *countWatcher) UnwatchAll()                 { c.n = 0 }

func numbered(i int) leasetable.Key {
	return leasetable.Key{Name: fmt.Appendf(nil, "page:%d", i)}
}

func BenchmarkGrantAndEnd(b *testing.B) {
	for _, live := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			table := leasetable.New[int](0, &countWatcher{})
			keys := make([]leasetable.Key, live)
			for i := range live {
				keys[i] = numbered(i)
				table.Grant(keys[i], 0, 1000, 1000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				k := keys[i%live]
				table.End(k, leasetable.AnyToken, 1)
				table.Grant(k, 1, 1000, 1000)
			}
		})
	}
}
