package locktable_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"holdfast/modules/internal/locktable"
)

// manyHold makes a lock with many holders, whose leases end in the next ten seconds.
func manyHold(s *service, name string, limit int64, n int, r *rand.Rand) (last int64) {
	for i := range n {
		ttl := 1000 + r.Int64N(9000)
		s.mustGet(name, fmt.Sprint("holder:", i), limit, ttl)
		last = max(last, s.keyspace.now+ttl)
	}
	s.keyspace.most = 0
	return last
}

// A lock of many readers that a writer waits for is never read in one go, neither
// for the writer's request nor for the leases that end, and the writer gets it
// when the last has ended.
func TestACrowdIsReadAFewHoldersAtATime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := newService(t)
	const n = 5000
	last := manyHold(s, "l", shared, n, r)
	w := s.mustWait("l", "w", exclusive, long)
	s.mustWait("l", "r", shared, long) // behind the writer
	at := s.keyspace.now
	for s.keyspace.now < last-1 {
		s.pass(1)
		if s.keyspace.now%37 == 0 {
			s.release("l", fmt.Sprint("holder:", r.IntN(n)))
		}
	}
	s.wokenAre()
	s.pass(1)
	s.wokenAre("w")
	if w.Token == 0 || s.Stats.Expired+s.Stats.Released != n {
		t.Fatalf("%d ran out and %d were released of %d, in %d ms", s.Stats.Expired, s.Stats.Released, n, s.keyspace.now-at)
	}
	if s.keyspace.most > 600 {
		t.Errorf("%d records were read in one go", s.keyspace.most)
	}
	s.release("l", "w")
	s.wokenAre("r")
	if s.release("l", "r"); s.keyspace.cursors != 0 || s.Waiting() != 0 {
		t.Fatal("something is left")
	}
}

// Each place of a great semaphore is handed over at its very end, and whatever
// happens to its holders meanwhile is noticed.
func TestEachPlaceOfAGreatSemaphoreIsHandedOverAtItsEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for seed := range 5 {
		s := newService(t)
		const n = 1500
		manyHold(s, "l", n, n, r)
		e := s.keyspace.keys[locktable.Key{Name: "l"}]
		waiters := make([]*caller, 300)
		for i := range waiters {
			waiters[i] = s.mustWait("l", fmt.Sprint("waiter:", i), n, long)
		}
		s.pass(0)
		free := 0
		for step := range 800 {
			owner := fmt.Sprint("holder:", r.IntN(n))
			switch r.IntN(20) {
			case 0:
				s.release("l", owner)
			case 1:
				s.extend("l", owner, 1+r.Int64N(3000))
			case 2:
				if step%5 == 0 && seed > 2 { // by hand, which the round finds
					delete(e.fields, owner)
					s.pass(100)
				}
			case 3:
				if _, err := s.Break(s.keyspace.now, 0, []byte("l"), []byte(owner)); err != nil {
					t.Fatal(err)
				}
			}
			s.pass(1)
			live := 0
			for _, record := range e.fields {
				if h, ok := locktable.ParseRecord([]byte(record)); ok && h.Live(s.keyspace.now) {
					live++
				}
			}
			if free = n - live; free > 0 && s.Waiting() > 0 && seed <= 2 {
				t.Fatalf("step %d: %d wait, and %d places are free", step, s.Waiting(), free)
			}
			if live > n {
				t.Fatalf("%d hold a semaphore of %d", live, n)
			}
		}
		for i := 1; i < len(waiters); i++ {
			if a, b := waiters[i-1].Token, waiters[i].Token; b != 0 && (a == 0 || b < a) {
				t.Fatalf("waiter %d overtook", i)
			}
		}
		if s.Waiting() == len(waiters) || s.keyspace.most > 2*n+600 {
			t.Fatalf("%d wait, %d records were read in one go", s.Waiting(), s.keyspace.most)
		}
	}
}

// A lock with many holders that is none any more is told so, and one that vanishes is served.
func TestWhateverBecomesOfACrowdIsNoticed(t *testing.T) {
	key := locktable.Key{Name: "l"}
	for name, become := range map[string]*entry{
		"gone":       nil,
		"another":    {fields: map[string]string{"x": record("shared", 7, 1<<50)}, expires: 1 << 50},
		"text":       {text: "exclusive 7 1 x", expires: 1 << 50},
		"foreign":    {text: "random", expires: 1 << 50},
		"no lock":    {fields: map[string]string{"x": "y"}},
		"other":      {},
		"written":    {},
		"a new lock": {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			manyHold(s, "l", shared, 2000, rand.New(rand.NewPCG(5, 6)))
			w := s.mustWait("l", "w", exclusive, long)
			if s.pass(1); name == "a new lock" || name == "written" {
				before := s.keyspace.keys[key]
				become = &entry{fields: map[string]string{}, expires: before.expires}
				for i := range 2000 {
					become.fields[fmt.Sprint("new:", i)] = record("shared", 7, before.expires)
				}
				if name == "written" {
					become.fields["else"] = "what somebody wrote"
				}
			}
			if s.keyspace.keys[key] = become; become == nil {
				delete(s.keyspace.keys, key)
			}
			s.Touched(0, []byte("l"))
			s.pass(1)
			switch name {
			case "gone":
				if w.Token == 0 {
					t.Fatal("not served")
				}
			case "no lock", "other", "written":
				if !errors.Is(w.Err, locktable.ErrWrongType) {
					t.Fatal(w.Err)
				}
			default:
				if w.Token != 0 || w.Err != nil {
					t.Fatal(w.Token, w.Err)
				}
				if delete(s.keyspace.keys, key); name == "a new lock" {
					s.pass(1)
				}
				s.Touched(0, []byte("l"))
				if s.pass(1); w.Token == 0 {
					t.Fatal("not served")
				}
			}
			if s.Waiting() != 0 || s.keyspace.cursors != 0 {
				t.Fatal("something is left")
			}
		})
	}
}

// Run stops where it is told to, and goes on where it stopped.
func TestRunGoesInSlices(t *testing.T) {
	s := newService(t)
	const n = 1000
	for i := range n {
		s.mustGet(fmt.Sprint("l:", i), "a", exclusive, long)
		s.mustWait(fmt.Sprint("l:", i), "b", exclusive, long)
		r := request(fmt.Sprint("s:", i), "a", exclusive, long)
		r.Session, r.Client = true, 7
		if _, err := s.Acquire(s.keyspace.now, &r); err != nil {
			t.Fatal(err)
		}
	}
	clear(s.keyspace.keys)
	s.TouchedAll(-1)
	s.Disconnected(7)
	runs := 0
	for at, ok := s.Next(s.keyspace.now); ok && at <= s.keyspace.now; at, ok = s.Next(s.keyspace.now) {
		asked, opened := 0, s.keyspace.calls
		s.Run(s.keyspace.now, func() bool { asked++; return asked == 10 })
		if s.keyspace.calls-opened > 20 {
			t.Fatalf("%d locks were opened in one go", s.keyspace.calls-opened)
		}
		runs++
	}
	if len(s.woken) != n || runs < 2*n/10 {
		t.Fatalf("%d of %d served in %d runs", len(s.woken), n, runs)
	}
}
