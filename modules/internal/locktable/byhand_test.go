package locktable_test

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/modules/internal/locktable"
)

// record is what somebody might write by hand.
func record(mode string, token, expires int64) string {
	return fmt.Sprintf("%s %d 1 %d -", mode, token, expires)
}

// A hash with a field that is no record is no lock, to nobody but the holder
// who had it: its own record goes, the rest stays as it was.
func TestAHolderLetsGoOfALockThatSomebodyWroteInto(t *testing.T) {
	key := locktable.Key{Name: "l"}
	session := request("l", "a", exclusive, long)
	session.Session, session.Client = true, 7
	for _, c := range []struct {
		name   string
		waited bool
		end    func(s *service)
	}{
		{"RELEASE", false, func(s *service) { s.release("l", "a") }},
		{"RELEASE with a line", true, func(s *service) { s.release("l", "a") }},
		{"the session's end", false, func(s *service) { s.Disconnected(7); s.pass(0) }},
		{"the session's end with a line", true, func(s *service) { s.Disconnected(7); s.pass(0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			if v, err := s.Acquire(s.keyspace.now, &session); v.Token == 0 || err != nil {
				t.Fatal(v, err)
			}
			var b *caller
			if c.waited {
				b = s.mustWait("l", "b", exclusive, long)
			}
			e := s.keyspace.keys[key]
			e.fields["else"] = "what somebody wrote"
			expires := e.expires
			c.end(s)
			if s.keyspace.keys[key] != e || len(e.fields) != 1 || e.fields["else"] == "" || e.expires != expires {
				t.Fatalf("left: %+v", s.keyspace.keys[key])
			}
			if c.waited && (b.Token != 0 || !errors.Is(b.Err, locktable.ErrWrongType)) {
				t.Fatal(b.Token, b.Err)
			}
			if held := s.Held(s.keyspace.now); held != 0 {
				t.Fatalf("%d held", held)
			}
			if _, err := s.ask(request("l", "c", exclusive, long)); !errors.Is(err, locktable.ErrWrongType) {
				t.Fatal(err)
			}
		})
	}
}

// PERSIST takes the key's expiry away, and whoever is granted next sets it anew:
// not to its own end, where another one holds for longer.
func TestALockWithoutAnExpiryGetsThatOfItsLastHolder(t *testing.T) {
	key := locktable.Key{Name: "l"}
	for _, waited := range []bool{false, true} {
		s := newService(t)
		s.mustGet("l", "a", 2, long)
		if waited {
			s.mustGet("l", "x", 2, long/2)
			s.mustWait("l", "b", 2, 10)
		}
		s.keyspace.keys[key].expires = 0
		if waited {
			s.release("l", "x")
			s.wokenAre("b")
		} else {
			s.mustGet("l", "b", 2, 10)
		}
		if got := s.keyspace.keys[key].expires; got != s.keyspace.now+long {
			t.Fatalf("with a line %v: the key expires in %d ms", waited, got-s.keyspace.now)
		}
		s.pass(20)
		s.heldBy("l", "a")
	}
}

// Whoever may write one key may write any number there. A token that the clock
// cannot explain moves nobody's tokens, and its lock is one like any other.
func TestATokenThatTheClockCannotExplainIsNotBelieved(t *testing.T) {
	const week = 7 * 24 * 3600 * 1000
	for _, token := range []int64{1<<53 - 1, 1<<53 - 2, 1 << 53, 1 << 59} {
		for _, e := range []*entry{
			{fields: map[string]string{"x": record("exclusive", token, 1<<50)}},
			{text: fmt.Sprintf("exclusive %d 1 x", token), expires: 1 << 50},
		} {
			s := newService(t)
			s.keyspace.keys[locktable.Key{Name: "l"}] = e
			if s.try("l", "b", exclusive, long) != 0 {
				t.Fatal("the lock is held, and was granted")
			}
			w := s.mustWait("l", "w", exclusive, long)
			s.Seen(s.keyspace.now, 0, []byte("l"))
			if got, most := s.mustGet("m", "b", exclusive, long), (s.keyspace.now+week)*1000; got > most {
				t.Fatalf("token %d after one of %d by hand", got, token)
			}
			s.release("m", "b")
			s.mustGet("m", "b", exclusive, long)
			s.release("l", "x")
			if s.wokenAre("w"); w.Token > (s.keyspace.now+week)*1000 {
				t.Fatal(w.Token)
			}
		}
	}
	s := newService(t) // a clock that is set back by less than a week is one that explains
	s.mustGet("l", "a", shared, long)
	last := s.LastToken()
	s.restart()
	s.keyspace.now -= week / 2
	if token := s.mustGet("l", "b", shared, long); token <= last {
		t.Fatalf("token %d after %d", token, last)
	}
}

// The server makes a copy of a hash to walk it, which for one of a million
// fields holds up everyone.
func TestAHashThatIsNoLockIsNotWalked(t *testing.T) {
	s := newService(t)
	s.mustGet("l", "a", exclusive, long)
	b := s.mustWait("l", "b", exclusive, long)
	s.keyspace.keys[locktable.Key{Name: "l"}] = &entry{fields: map[string]string{"x": "1", "y": "2"}}
	s.keyspace.walks = 0
	s.pass(100)
	if !errors.Is(b.Err, locktable.ErrWrongType) {
		t.Error(b.Err)
	}
	for name, do := range map[string]func(name []byte) error{
		"acquire": func(name []byte) error { _, err := s.ask(request(string(name), "a", shared, long)); return err },
		"extend": func(name []byte) error {
			_, err := s.Extend(s.keyspace.now, &locktable.Claim{Name: name, Owner: []byte("x")}, long)
			return err
		},
		"release": func(name []byte) error {
			_, err := s.Release(s.keyspace.now, &locktable.Claim{Name: name, Owner: []byte("a")})
			return err
		},
		"break":   func(name []byte) error { _, err := s.Break(s.keyspace.now, 0, name, nil); return err },
		"inspect": func(name []byte) error { _, err := s.Holders(s.keyspace.now, 0, name, nil); return err },
	} {
		if err := do([]byte("l")); !errors.Is(err, locktable.ErrWrongType) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.keyspace.walks != 0 {
		t.Errorf("walked %d times", s.keyspace.walks)
	}
}
