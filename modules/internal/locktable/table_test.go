package locktable_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/modules/internal/locktable"
)

const (
	exclusive = locktable.Exclusive
	shared    = locktable.Shared
	long      = 1_000_000
)

func TestAReleasedLockGoesToTheOneWhoWaitedLongest(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	s.mustWait("l", "b", exclusive, long)
	s.mustWait("l", "c", exclusive, long)
	s.release("l", "a")
	s.wokenAre("b")
	s.heldBy("l", "b")
	s.release("l", "b")
	s.wokenAre("c")
	s.heldBy("l", "c")
}

func TestATryNeverOvertakesTheQueue(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", shared, long)
	s.mustWait("l", "b", exclusive, long)
	if s.try("l", "c", shared, long) != 0 {
		t.Fatal("c joined the shared holders before b, who waits")
	}
	// The lock is free for a moment, and nobody has told the table yet.
	delete(s.keyspace.keys, locktable.Key{Name: "l"})
	if s.try("l", "c", exclusive, long) != 0 {
		t.Fatal("c took the lock that b waits for")
	}
	s.wokenAre("b")
}

func TestSharedHoldersBehindAWaitingExclusiveOneWaitAndThenComeTogether(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "r1", shared, long)
	s.mustGet("l", "r2", shared, long)
	s.mustWait("l", "w", exclusive, long)
	s.mustWait("l", "r3", shared, long)
	s.mustWait("l", "r4", shared, long)
	s.release("l", "r1")
	s.wokenAre()
	s.release("l", "r2")
	s.wokenAre("w")
	s.release("l", "w")
	s.wokenAre("r3", "r4")
	s.heldBy("l", "r3", "r4")
}

func TestTheHeadThatLeavesLetsThoseBehindIn(t *testing.T) {
	for _, leave := range []string{"timeout", "gone"} {
		s := newService(t)
		s.mustGet("l", "r1", shared, long)
		w := s.mustWait("l", "w", exclusive, long)
		s.mustWait("l", "r2", shared, long)
		if leave == "timeout" {
			s.Timeout(&w.Waiter)
		} else {
			s.Gone(&w.Waiter)
		}
		s.pass(0)
		s.wokenAre("r2")
	}
}

// The ghost: granted, but its connection died before it could be told.
func TestALockGrantedToALostConnectionGoesToTheNext(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	b := s.mustWait("l", "b", exclusive, long)
	s.mustWait("l", "c", exclusive, long)
	s.release("l", "a")
	s.Gone(&b.Waiter)
	s.pass(0)
	s.wokenAre("b", "c")
	s.heldBy("l", "c")
	if s.Stats.Ghosts != 1 {
		t.Fatalf("%d ghosts counted", s.Stats.Ghosts)
	}
}

func TestAGhostTakesNothingFromItsOwnersNextLease(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	b := s.mustWait("l", "b", exclusive, long)
	s.release("l", "a")
	s.release("l", "b") // another connection of b let go, and took it again
	s.mustGet("l", "b", exclusive, long)
	s.Gone(&b.Waiter)
	s.pass(0)
	s.heldBy("l", "b")
}

func TestALeaseThatEndsIsHandedOverAtItsVeryEnd(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, 500)
	s.mustWait("l", "b", exclusive, 300)
	s.mustWait("l", "c", exclusive, long)
	s.pass(499)
	s.wokenAre()
	s.pass(1)
	s.wokenAre("b")
	s.pass(299)
	s.wokenAre()
	s.pass(1)
	s.wokenAre("c")
}

// Whoever asks for the gauge in the moment between a lease's end and the timer
// must not have that end counted twice.
func TestALeaseThatEndsWhileHeldIsCountedOnce(t *testing.T) {
	s := newService(t)
	gauge := func(want int64) {
		t.Helper()
		if held := s.Held(s.keyspace.now); held != want {
			t.Fatalf("%d held, want %d", held, want)
		}
	}
	s.mustGet("l", "a", exclusive, 500)
	gauge(1)
	b := s.mustWait("l", "b", exclusive, 700)
	s.keyspace.now += 500
	gauge(1)
	s.pass(0)
	s.wokenAre("b")
	gauge(1)
	s.mustWait("l", "c", exclusive, long)
	if !s.extend("l", "b", 600) {
		t.Fatal("not extended")
	}
	s.keyspace.now += 600
	gauge(1)
	s.pass(0)
	s.wokenAre("c")
	s.mustGet("m", "a", exclusive, 500)
	d := s.mustWait("m", "d", exclusive, long)
	s.Timeout(&d.Waiter)
	gauge(2)
	s.keyspace.now += 501 // with nobody waiting it is the gauge that tells
	gauge(1)
	if s.try("m", "e", exclusive, long) == 0 || s.Stats.Expired != 3 || b.Token == 0 {
		t.Fatalf("%d leases ran out", s.Stats.Expired)
	}
}

func TestEachHolderOfASemaphoreRunsOutByItself(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", 2, 1000)
	s.mustGet("l", "b", 2, 200)
	s.mustWait("l", "c", 2, long)
	s.pass(200)
	s.wokenAre("c")
	s.heldBy("l", "a", "c")

	// And with nobody waiting it is found by the next who asks.
	s.mustGet("m", "a", 2, 1000)
	s.mustGet("m", "b", 2, 200)
	if s.try("m", "c", 2, long) != 0 {
		t.Fatal("three hold a semaphore of two")
	}
	s.pass(200)
	s.mustGet("m", "c", 2, long)
	s.heldBy("m", "a", "c")
}

func TestAnExtendedLeaseIsNotTaken(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, 100)
	s.mustWait("l", "b", exclusive, long)
	s.pass(60)
	if !s.extend("l", "a", 100) {
		t.Fatal("not extended")
	}
	s.pass(99)
	s.wokenAre()
	s.pass(1)
	s.wokenAre("b")
	if s.extend("l", "a", 100) {
		t.Fatal("a extended what b holds")
	}
}

func TestAShortenedLeaseEndsEarlier(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	s.mustWait("l", "b", exclusive, long)
	if !s.extend("l", "a", 10) {
		t.Fatal("a could not extend")
	}
	s.pass(10)
	s.wokenAre("b")
}

func TestAnOwnerThatHoldsWaitsForItself(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, 500)
	if s.try("l", "a", exclusive, long) != 0 {
		t.Fatal("the lock is re-entrant")
	}
	s.mustWait("l", "a", exclusive, 700) // on another connection
	s.mustWait("l", "a", exclusive, long)
	s.pass(500)
	s.wokenAre("a")
	s.pass(700)
	s.wokenAre("a")
}

// Whoever waits for nothing but its own release takes up no place that others
// could have.
func TestAnOwnerThatWaitsForItselfKeepsNobodyElseWaiting(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", 3, long)
	s.mustGet("l", "b", 3, long)
	s.mustGet("l", "c", 3, long)
	s.mustWait("l", "a", 3, long)
	d := s.mustWait("l", "d", 3, long)
	s.release("l", "b")
	s.wokenAre("d")
	s.release("l", "c")
	s.mustGet("l", "e", 3, long)
	if s.heldBy("l", "a", "d", "e"); d.Token == 0 {
		t.Fatal("d has no token")
	}
}

// RELEASE is the undo of whatever its owner asked for, so it calls off a wait of
// a connection that may be lost.
func TestAReleaseCallsOffItsOwnersWaits(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", shared, long)
	b := s.mustWait("l", "b", exclusive, long)
	s.mustWait("l", "c", shared, long)
	if s.release("l", "b") || b.Token != 0 || b.Err != nil {
		t.Fatal("b held nothing and got nothing")
	}
	s.pass(0)
	s.wokenAre("b", "c") // c stood behind b
	s.mustWait("l", "d", exclusive, long)
	s.mustWait("l", "a", exclusive, long)
	if !s.release("l", "a") {
		t.Fatal("a held it")
	}
	s.wokenAre("a")
	if n, err := s.Break(s.keyspace.now, 0, []byte("l"), []byte("d")); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	s.wokenAre("d")
	if s.Stats.Withdrawn != 3 || s.Waiting() != 0 {
		t.Fatalf("%d withdrawn, %d wait", s.Stats.Withdrawn, s.Waiting())
	}
	s.heldBy("l", "c")
}

// Whoever does it and however, a lock that vanished is handed over: at once
// where the server tells, in the next round where it does not.
func TestHoweverALockVanishesTheWaitersAreServed(t *testing.T) {
	key := locktable.Key{Name: "l"}
	ways := map[string]func(s *service){
		"removed, and told":     func(s *service) { delete(s.keyspace.keys, key); s.Touched(0, []byte("l")); s.pass(0) },
		"flushed":               func(s *service) { clear(s.keyspace.keys); s.TouchedAll(-1); s.pass(0) },
		"flushed db":            func(s *service) { clear(s.keyspace.keys); s.TouchedAll(0); s.pass(0) },
		"removed untold":        func(s *service) { delete(s.keyspace.keys, key); s.pass(100) },
		"swapped":               func(s *service) { delete(s.keyspace.keys, key); s.Swap(0, 1); s.pass(0) },
		"swapped the other way": func(s *service) { delete(s.keyspace.keys, key); s.Swap(1, 0); s.pass(0) },
		"broken": func(s *service) {
			if n, err := s.Break(s.keyspace.now, 0, []byte("l"), nil); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		},
	}
	for way, vanish := range ways {
		t.Run(way, func(t *testing.T) {
			s := newService(t)
			s.mustGet("l", "a", exclusive, long)
			s.mustWait("l", "b", exclusive, long)
			vanish(s)
			s.wokenAre("b")
			s.heldBy("l", "b")
		})
	}
}

func TestALockThatWasOverwrittenByAnotherIsWaitedForAnew(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	s.mustGet("other", "x", exclusive, 500)
	s.mustWait("l", "b", exclusive, long)
	key := locktable.Key{Name: "l"}
	s.keyspace.keys[key] = s.keyspace.keys[locktable.Key{Name: "other"}] // RESTORE REPLACE
	s.pass(499)
	s.wokenAre()
	s.pass(1)
	s.wokenAre("b")
}

// The same number of holders and the same expiry, and yet others.
func TestAHolderWhoTookAnothersPlaceUntoldIsNoticed(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, 1000)
	s.mustGet("other", "x", exclusive, 1000)
	s.mustWait("l", "a", exclusive, long) // for itself
	s.keyspace.keys[locktable.Key{Name: "l"}] = s.keyspace.keys[locktable.Key{Name: "other"}]
	s.pass(100)
	if s.Stats.Broken != 1 {
		t.Fatalf("%d broken", s.Stats.Broken)
	}
	s.release("l", "x")
	s.wokenAre("a")
}

func TestThoseWhoWaitForAKeyThatIsNoLockAnyMoreAreTold(t *testing.T) {
	for _, e := range []*entry{{}, {fields: map[string]string{"a": "not a record"}}} {
		s := newService(t)
		s.mustGet("l", "a", exclusive, long)
		b := s.mustWait("l", "b", exclusive, long)
		s.keyspace.keys[locktable.Key{Name: "l"}] = e
		s.pass(100)
		s.wokenAre("b")
		if b.Token != 0 || !errors.Is(b.Err, locktable.ErrWrongType) {
			t.Fatal(b.Token, b.Err)
		}
		r := request("l", "c", exclusive, long)
		if _, err := s.Acquire(s.keyspace.now, &r); !errors.Is(err, locktable.ErrWrongType) {
			t.Fatal(err)
		}
		if _, err := s.Release(s.keyspace.now, &locktable.Claim{Name: r.Name, Owner: r.Owner}); !errors.Is(err, locktable.ErrWrongType) {
			t.Fatal(err)
		}
	}
}

// A slot that moves takes its keys along. A grant here would be a second one.
func TestThoseWhoWaitForALockThatMovedToAnotherNodeAreTold(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	b := s.mustWait("l", "b", exclusive, long)
	s.keyspace.moved = true
	delete(s.keyspace.keys, locktable.Key{Name: "l"})
	s.Touched(0, []byte("l"))
	s.pass(0)
	s.wokenAre("b")
	if b.Token != 0 || !errors.Is(b.Err, locktable.ErrMoved) || len(s.keyspace.keys) != 0 {
		t.Fatal(b.Token, b.Err)
	}
}

func TestASessionEndsWithItsConnection(t *testing.T) {
	s := newService(t)
	r := request("l", "a", exclusive, long)
	r.Session, r.Client = true, 7
	if _, err := s.Acquire(s.keyspace.now, &r); err != nil {
		t.Fatal(err)
	}
	r = request("m", "b", exclusive, long)
	r.Session, r.Client = true, 8
	s.mustGet("m", "x", exclusive, long)
	if _, err := s.ask(r); err != nil { // a session by hand-over
		t.Fatal(err)
	}
	s.mustWait("l", "c", exclusive, long)
	s.Disconnected(8) // holds nothing yet
	s.pass(0)
	s.wokenAre()
	s.release("m", "x")
	s.wokenAre("b")
	s.Disconnected(8)
	s.Disconnected(7)
	s.pass(0)
	s.wokenAre("c")
	s.heldBy("m")
	s.heldBy("l", "c")
}

// A connection that lives long forgets what it let go of, and nothing else.
func TestASessionKeepsItsLongLeaseAmongManyShortOnes(t *testing.T) {
	s := newService(t)
	acquire := func(name string, ttl int64) {
		r := request(name, "a", exclusive, ttl)
		r.Session, r.Client = true, 7
		if v, err := s.Acquire(s.keyspace.now, &r); err != nil || v.Token == 0 {
			t.Fatal(v, err)
		}
	}
	acquire("long", 10)
	if !s.extend("long", "a", long) {
		t.Fatal("not extended")
	}
	for range 1000 {
		acquire("short", 5)
		s.pass(6)
		acquire("released", 1000)
		s.release("released", "a")
	}
	acquire("last", long)
	s.Disconnected(7)
	s.pass(0)
	s.heldBy("long")
	s.heldBy("last")
}

func TestALockIsTakenBackInTheDatabaseItWasSwappedTo(t *testing.T) {
	swap := func(s *service) {
		s.keyspace.keys[locktable.Key{DB: 3, Name: "l"}] = s.keyspace.keys[locktable.Key{Name: "l"}]
		delete(s.keyspace.keys, locktable.Key{Name: "l"})
		s.Swap(3, 0)
	}
	for name, end := range map[string]func(s *service, a *caller){
		"a session that ends then":  func(s *service, _ *caller) { swap(s); s.Disconnected(7) },
		"a session that just ended": func(s *service, _ *caller) { s.Disconnected(7); swap(s) },
		"a ghost":                   func(s *service, a *caller) { s.Gone(&a.Waiter); swap(s) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.mustGet("l", "x", exclusive, long)
			r := request("l", "a", exclusive, long)
			r.Session, r.Client = true, 7
			a, err := s.ask(r)
			if err != nil {
				t.Fatal(err)
			}
			s.release("l", "x")
			s.wokenAre("a")
			end(s, a)
			s.pass(0)
			if len(s.keyspace.keys) != 0 {
				t.Fatal("the lock outlives its holder")
			}
		})
	}
}

func TestTokensGrowWhateverTheClockDoes(t *testing.T) {
	s := newService(t)
	last := int64(0)
	for i, step := range []int64{0, 0, 5, -3_600_000, 0, 1, -86_400_000, 7} {
		s.keyspace.now += step
		s.keyspace.keys = map[locktable.Key]*entry{}
		token := s.mustGet("l", "a", exclusive, long)
		if token <= last {
			t.Fatalf("grant %d: token %d after %d", i, token, last)
		}
		last = token
	}
	s.mustGet("shared", "a", shared, long)
	s.restart()
	s.keyspace.now -= 5000
	if token := s.mustGet("shared", "b", shared, long); token <= last {
		t.Fatalf("token %d beside one of more than %d", token, last)
	}
	// A new node, with the clock behind, that found the record.
	s.restart()
	s.mustWait("l", "b", exclusive, long)
	s.release("l", "a")
	if token := s.LastToken(); token <= last {
		t.Fatalf("token %d after %d on the new node", token, last)
	}
}

func TestInTheQuarantineOnlyKnownLocksAreGranted(t *testing.T) {
	s := newService(t)
	s.mustGet("known", "a", exclusive, long)
	s.mustGet("known too", "a", exclusive, long)
	s.restart()
	s.limits.Quarantine = 1050
	if s.try("unknown", "b", exclusive, long) != 0 {
		t.Fatal("a lock without a record was granted")
	}
	s.mustWait("unknown", "c", exclusive, long)
	s.mustWait("known", "d", exclusive, long)
	s.release("known", "a")
	s.wokenAre("d")
	s.release("known", "d")
	s.mustGet("known", "e", exclusive, long)
	s.release("known too", "a")
	s.mustGet("known too", "b", exclusive, long)
	s.pass(1049)
	s.wokenAre()
	s.pass(1)
	s.wokenAre("c")
}

func TestNoMoreThanMaxWaitersWaitForALock(t *testing.T) {
	s := newService(t)
	s.limits.MaxWaiters = 1
	s.mustGet("l", "a", exclusive, long)
	s.mustWait("l", "b", exclusive, long)
	if _, err := s.ask(request("l", "c", exclusive, long)); !errors.Is(err, locktable.ErrQueueFull) {
		t.Fatal(err)
	}
}

// Each step is "owner lock", with ! before an owner that gets the lock at
// once; the last one must be the deadlock, or wait like any other.
func TestACycleOfBlockedOwnersIsRefused(t *testing.T) {
	for _, c := range []struct{ name, steps, cycle string }{
		{"two", "!a l, !b m, a m, b l", "b waits for a waits for b"},
		{"three", "!a l, !b m, !c n, a m, b n, c l", "c waits for a waits for b waits for c"},
		{"a chain is none", "!a l, !b m, !c n, a m, b n, d l", ""},
		{"itself alone is none", "!a l, a l, a l", ""},
		{"an owner on several connections is none", "!a l, b l, a l, b l", ""},
		{"an owner twice in a queue is none", "!x l, a l, b l, a l", ""},
		{"through the queue", "!x l/s, !z m, y l, x m, z l/s", "z waits for y waits for x waits for z"},
		{"two who share and both want it alone", "!a l/s, !b l/s, a l, b l", "b waits for a waits for b"},
		{"one of a semaphore's holders is free", "!b s/2, !c s/2, !a m, a s/2, b m", ""},
		{"all of a semaphore's holders are caught", "!b s/2, !c s/2, !a m, a s/2, b m, c m",
			"c waits for b waits for a waits for c"},
		// x goes on when h2 does, so r does, so y does. That h1 cannot (p waits
		// for n) is found on the way, and must leave no trace.
		{"a dead end on the way to a free place",
			"!x s/s, !y s/s, !h1 a/2, !h2 a/2, !p b/2, !q b/2, !n n, !r r, !r r2, !x x, x a/2, h1 b/2, p n, q r, r x, y r2, n s", ""},
		{"a free place in the semaphore", "!b s/3, !c s/3, !a m, x s/2, b m, c m", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps := strings.Split(c.steps, ", ")
			var s *service
			for i := range 50 * len(steps) { // holders are looked at in no order
				i, step := i%len(steps), steps[i%len(steps)]
				if i == 0 {
					s = newService(t)
				}
				owner, name, _ := strings.Cut(step, " ")
				name, mode, _ := strings.Cut(name, "/")
				limit := map[string]int64{"": exclusive, "s": shared, "2": 2, "3": 3}[mode]
				owner, free := strings.CutPrefix(owner, "!")
				got, err := s.ask(request(name, owner, limit, long))
				if i == len(steps)-1 && c.cycle != "" {
					var d *locktable.DeadlockError
					if !errors.As(err, &d) || d.Error() != c.cycle {
						t.Fatalf("%s: %v, want %s", step, err, c.cycle)
					}
				} else if err != nil || (got.Token != 0) != free {
					t.Fatalf("%s: %+v, %v", step, got, err)
				}
			}
		})
	}
}

func TestARecordIsReadableAndComesBackAsItWas(t *testing.T) {
	r := locktable.Record{Limit: 3, Token: 17, Acquired: 5, Expires: 9, Session: true, Meta: []byte("on a b \x00")}
	text := string(r.Append(nil))
	if text != "limit:3 17 5 9 session on a b \x00" {
		t.Fatal(text)
	}
	if got, ok := locktable.ParseRecord([]byte(text)); !ok || string(got.Append(nil)) != text {
		t.Fatal(got, ok)
	}
}

func FuzzOnlyRecordsAreTakenForRecords(f *testing.F) {
	for _, s := range []string{"exclusive 1 2 3 -", "exclusive 1 2 3 - ", "exclusive 1 2 3 -  ", "shared 1 2 3 session x", "limit:2 1 2 3 - a b", "limit:1 1 2 3 - ", "exclusive -1 2 3 - ", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := locktable.ParseRecord([]byte(s)); ok && string(r.Append(nil)) != s {
			t.Fatalf("%q was read as %+v", s, r)
		}
	})
}
