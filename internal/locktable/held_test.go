package locktable

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// However locks come, go and run out, the gauge counts them all, and every
// lease that ran out once.
func TestTheGaugeCountsWhatIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newHeldSet()
		now := int64(1)
		model := map[uint64]int64{}
		ranOut := int64(0)
		var name [8]byte
		hash := func(n int) uint64 {
			binary.NativeEndian.PutUint64(name[:], uint64(n))
			return s.hash(n%3, name[:])
		}
		expire := func(h uint64) {
			if at, held := model[h]; held && at <= now {
				delete(model, h)
				ranOut++
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put many": func(t *rapid.T) {
				first, n, ttl := rapid.IntRange(0, 3000).Draw(t, "first"), rapid.IntRange(1, 600).Draw(t, "n"), rapid.Int64Range(1, 50).Draw(t, "ttl")
				for i := range n {
					h := hash(first + i)
					expire(h)
					s.put(h, now+ttl, now)
					model[h] = now + ttl
				}
			},
			"drop many": func(t *rapid.T) {
				first, n := rapid.IntRange(0, 3000).Draw(t, "first"), rapid.IntRange(1, 600).Draw(t, "n")
				for i := range n {
					h := hash(first + i)
					s.drop(h, now)
					delete(model, h)
				}
			},
			"time, after a count": func(t *rapid.T) {
				s.count(now) // else what ran out and was dropped counts either way
				ranOut = 0
				now += rapid.Int64Range(0, 60).Draw(t, "ms")
				for h := range model {
					expire(h)
				}
				if held, gone := s.count(now); held != int64(len(model)) || gone != ranOut {
					t.Fatalf("held %d, ran out %d, want %d, %d", held, gone, len(model), ranOut)
				}
				ranOut = 0
			},
			"": func(t *rapid.T) {
				if held, _ := s.count(now); held != int64(len(model)) {
					t.Fatalf("held %d, want %d", held, len(model))
				}
			},
		})
	})
}
