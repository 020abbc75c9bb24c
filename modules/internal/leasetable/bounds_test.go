package leasetable_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/modules/internal/leasetable"
)

// A caller that asks for a lease of ever more keys is told to load each of them,
// and takes no more memory for it.
func TestAtTheBoundANewLeaseTakesThePlaceOfAnother(t *testing.T) {
	w := &countWatcher{}
	table := leasetable.New[int](0, w)
	table.Max = 1000
	waited := leasetable.Key{Name: []byte("waited for")}
	first, _ := table.Grant(waited, 0, 10, 10)
	table.Wait(waited, &leasetable.Waiter[int]{})
	for i := range 50_000 {
		if _, ok := table.Grant(numbered(i), 1, 1_000_000, 1_000_000); !ok {
			t.Fatalf("load %d is refused", i)
		}
		if w.n > 1000 {
			t.Fatalf("%d leases after %d loads, want 1000 at most", w.n, i)
		}
	}
	if _, ok := table.End(waited, first, 9); !ok {
		t.Error("the lease that somebody waits for is gone, though it is the first to run out")
	}
	if n := table.Evicted(); n != 49_001 {
		t.Errorf("%d evicted of 50,001 leases where 1,000 may be", n)
	}
}

func TestALoweredBoundIsReachedByAndBy(t *testing.T) {
	w := &countWatcher{}
	table := leasetable.New[int](0, w)
	for i := range 1000 {
		table.Grant(numbered(i), 0, 1_000_000, 1_000_000)
	}
	table.Max = 10
	for i := range 500 {
		table.Grant(numbered(-i-1), 0, 1_000_000, 1_000_000)
	}
	if w.n != 10 {
		t.Errorf("%d leases are left, want 10", w.n)
	}
}

// Where clients wait for every lease there is none to be evicted.
func TestALeaseThatSomebodyWaitsForIsNotEvicted(t *testing.T) {
	table := leasetable.New[int](0, &countWatcher{})
	table.Max = 3
	var tokens []uint64
	for i := range 10 {
		token, ok := table.Grant(numbered(i), 0, 10, 10)
		if !ok {
			t.Fatalf("load %d is refused", i)
		}
		table.Wait(numbered(i), &leasetable.Waiter[int]{})
		tokens = append(tokens, token)
	}
	for i, token := range tokens {
		if _, ok := table.End(numbered(i), token, 1); !ok {
			t.Errorf("lease %d is gone", i)
		}
	}
}

// No step is longer for ten thousand keys that clients wait for than for a few: all
// that a flush and leases that end together leave to be done is done in turns.
func TestWhatBefallsTenThousandAtOnceIsDoneInTurns(t *testing.T) {
	for name, befall := range map[string]func(*leasetable.Table[int]){
		"a flush of all databases": func(table *leasetable.Table[int]) { table.Flush(-1) },
		"a flush of theirs":        func(table *leasetable.Table[int]) { table.Flush(0) },
		"the end of their leases":  func(*leasetable.Table[int]) {},
	} {
		t.Run(name, func(t *testing.T) {
			table := leasetable.New[int](0, &countWatcher{})
			const keys = 10_000
			for i := range keys {
				table.Grant(numbered(i), 0, 10, 10)
				table.Wait(numbered(i), &leasetable.Waiter[int]{Who: i, LeaseMs: 100, LoadMs: 100})
			}
			befall(table)
			for turns := 1; table.Waiting() > 0; turns++ {
				table.BeginTurn(10)
				decided, woken := 0, 0
				for k, ok := table.Undecided(); ok; k, ok = table.Undecided() {
					table.Promote(k, 10)
					decided++
				}
				for w := table.Ready(); w != nil; w = table.Ready() {
					woken++
				}
				// The leases that end and those to be rechecked may be the same keys.
				if decided > 2*leasetable.Batch || woken > leasetable.Batch {
					t.Fatalf("turn %d decided about %d keys and woke %d waiters", turns, decided, woken)
				}
				if _, ok := table.Next(10); table.Waiting() > 0 && !ok {
					t.Fatalf("after turn %d no turn is wanted, and %d wait", turns, table.Waiting())
				}
				if turns > 2*keys/leasetable.Batch {
					t.Fatalf("after %d turns %d still wait", turns, table.Waiting())
				}
			}
		})
	}
}

func TestLoadsNamesThoseWithTheMostWaitersFirst(t *testing.T) {
	table := leasetable.New[int](0, &countWatcher{})
	for i := range 5 {
		table.Grant(numbered(i), int64(i), 100, 200)
		for range map[int]int{1: 1, 3: 2}[i] {
			table.Wait(numbered(i), &leasetable.Waiter[int]{})
		}
	}
	table.Grant(leasetable.Key{DB: 1, Name: []byte("elsewhere")}, 0, 100, 200)
	token, _ := table.Grant(numbered(5), 5, 100, 200)
	table.Fail(numbered(5), token, 5, "LOADFAILED", 100)
	table.End(numbered(2), leasetable.AnyToken, 6)
	list := func(now int64, n int) (names []string) {
		for _, l := range table.Loads(0, now, n) {
			names = append(names, fmt.Sprintf("%s %d %d %d", l.Name, l.Lease.Age, l.Lease.Left, l.Waiters))
		}
		return names
	}
	want := []string{"page:3 7 93 2", "page:1 9 91 1", "page:0 10 90 0", "page:4 6 94 0"}
	if diff := cmp.Diff(want, list(10, 10)); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], list(10, 2)); diff != "" {
		t.Errorf("two loads (-want +got):\n%s", diff)
	}
	if got := list(300, 10); len(got) != 0 {
		t.Errorf("when all are over: %v", got)
	}
	// Of very many that nobody waits for the last are known.
	for i := range 3000 {
		table.Grant(numbered(1000+i), 300, 1000, 1000)
	}
	if got := list(301, 5000); len(got) != 1024 {
		t.Errorf("%d of 3000 loads are known by name, want 1024", len(got))
	}
}

// Nobody is told to load for as long as the loader said, whoever asks.
func TestAFailedLoadIsNotRepeatedDuringItsBackoff(t *testing.T) {
	s := newStory()
	s.fetch("a", 0)
	s.fetch("b", 1)
	if told, ok := s.Fail(page, 1, 5, "LOADFAILED down", 20); told != 1 || !ok {
		t.Fatalf("Fail = %d %v, want b to be told", told, ok)
	}
	if diff := cmp.Diff([]string{"b fails: LOADFAILED down"}, s.turn(5)); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}
	for now := int64(5); now < 25; now++ {
		if token, ok := s.Grant(page, now, 10, 30); ok {
			t.Fatalf("token %d is granted at %d", token, now)
		}
		if message, left, ok := s.Backoff(page, now); !ok || message != "LOADFAILED down" || left != 25-now {
			t.Fatalf("Backoff at %d = %q %d %v", now, message, left, ok)
		}
	}
	for guess := uint64(0); guess < 5; guess++ {
		if guess != leasetable.AnyToken && (s.Extend(page, guess, 6, 10) || func() bool { _, ok := s.End(page, guess, 6); return ok }()) {
			t.Fatalf("the guessed token %d holds the backoff", guess)
		}
	}
	if _, ok := s.Grant(page, 25, 10, 30); !ok {
		t.Fatal("after the backoff nobody is told to load")
	}
	if _, _, ok := s.Backoff(page, 25); ok {
		t.Fatal("a new load goes on, and the backoff of the last one too")
	}
	// What ends a lease ends a backoff.
	for name, end := range map[string]func(){
		"an invalidation": func() { s.End(page, leasetable.AnyToken, 40) },
		"a flush":         func() { s.Flush(0) },
		"a flush of all":  func() { s.Flush(-1) },
	} {
		s.End(page, leasetable.AnyToken, 30)
		token, _ := s.Grant(page, 30, 10, 30)
		s.Fail(page, token, 31, "LOADFAILED again", 1000)
		end()
		if _, ok := s.Grant(page, 41, 10, 30); !ok {
			t.Errorf("after %s nobody is told to load", name)
		}
	}
}
