package locktable_test

import (
	"testing"

	"holdfast/modules/internal/locktable"
)

// The clock that the table is told is the server's, which may be set back. A
// lease that named its end keeps it, so nobody else gets the lock before; and
// what nobody tells of is noticed as soon as ever.
func TestAClockThatIsSetBackGrantsNoLockTwiceAndDelaysNoHandOver(t *testing.T) {
	const hour = 3_600_000
	key := locktable.Key{Name: "l"}
	for _, c := range []struct {
		name string
		end  func(s *service)
	}{
		{"the holder lets go", func(s *service) { s.release("l", "a") }},
		{"the holder extends, and its lease ends", func(s *service) {
			if !s.extend("l", "a", 500) {
				s.t.Fatal("not extended")
			}
			s.pass(499)
			s.wokenAre()
			s.pass(1)
		}},
		{"it is removed", func(s *service) { delete(s.keyspace.keys, key); s.Touched(0, []byte("l")); s.pass(0) }},
		{"it is removed, and nobody tells", func(s *service) { delete(s.keyspace.keys, key); s.pass(100) }},
		{"its session ends", func(s *service) { s.Disconnected(7); s.pass(0) }},
		{"the lease ends where it said", func(s *service) {
			s.pass(hour + 59_999)
			s.wokenAre()
			s.pass(1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			r := request("l", "a", exclusive, 60_000)
			r.Session, r.Client = true, 7
			v, err := s.Acquire(s.keyspace.now, &r)
			if err != nil {
				t.Fatal(err)
			}
			b := s.mustWait("l", "b", exclusive, long)
			s.pass(50)
			s.keyspace.now -= hour + 50
			if s.try("l", "c", exclusive, long) != 0 {
				t.Fatal("granted twice")
			}
			if at, ok := s.Next(s.keyspace.now); !ok || at > s.keyspace.now+100 {
				t.Fatalf("the next look is in %d ms", at-s.keyspace.now)
			}
			c.end(s)
			s.wokenAre("b")
			s.heldBy("l", "b")
			if b.Token <= v.Token {
				t.Fatalf("token %d after %d", b.Token, v.Token)
			}
			if s.mustGet("m", "a", exclusive, long) <= b.Token {
				t.Fatal("a token that does not grow")
			}
		})
	}
}

func TestAClockThatIsSetBackProlongsNoQuarantine(t *testing.T) {
	s := newService(t)
	s.limits.Quarantine = 1000
	s.mustWait("l", "a", exclusive, long)
	s.keyspace.now -= 3_600_000
	s.pass(100) // somebody asks, or the round comes by
	s.pass(1000)
	s.wokenAre("a")
}
