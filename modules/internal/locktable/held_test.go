package locktable

import (
	"encoding/binary"
	"hash/maphash"
	"testing"

	"pgregory.net/rapid"
)

// However locks come, go and run out, the gauge counts them all, and every
// lease that ran out once.
func TestTheGaugeCountsWhatIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, seed := newHeldSet(), maphash.MakeSeed()
		now := int64(1)
		model := map[uint64]int64{}
		ranOut := int64(0)
		var name [8]byte
		hash := func(n int) uint64 {
			binary.NativeEndian.PutUint64(name[:], uint64(n))
			return maphash.Bytes(seed, name[:]) ^ uint64(n%3)
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
			"put again, as who looks at a lock that is held does": func(t *rapid.T) {
				for h, at := range model {
					s.put(h, at, now)
				}
			},
			"drop many": func(t *rapid.T) {
				first, n := rapid.IntRange(0, 3000).Draw(t, "first"), rapid.IntRange(1, 600).Draw(t, "n")
				for i := range n {
					h := hash(first + i)
					if _, held := model[h]; held { // what ran out before counts or not, as it happens
						s.put(h, 0, now)
						delete(model, h)
					}
				}
			},
			"time": func(t *rapid.T) {
				now += rapid.Int64Range(0, 60).Draw(t, "ms")
				for h := range model {
					expire(h)
				}
			},
			"count": func(t *rapid.T) {
				held, gone := s.count(now)
				if held != int64(len(model)) || gone != ranOut {
					t.Fatalf("held %d, ran out %d, want %d, %d", held, gone, len(model), ranOut)
				}
				ranOut = 0
			},
		})
	})
}
