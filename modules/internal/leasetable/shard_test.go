package leasetable

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A shard is a map from ids to leases, however its ids crowd together and
// whatever is removed from the middle of the crowd.
func TestAShardIsAMap(t *testing.T) {
	// Homes at both ends, where probes go round, and in one crowd.
	home := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(math.MaxUint64-3, math.MaxUint64), rapid.Uint64())
	ids := rapid.Custom(func(t *rapid.T) id { return id{home.Draw(t, "home"), rapid.Uint64Range(0, 5).Draw(t, "rest")} })
	rapid.Check(t, func(t *rapid.T) {
		var s shard
		model := map[id]uint64{}
		var known []id
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i, token := ids.Draw(t, "id"), rapid.Uint64Min(1).Draw(t, "token")
				_, there := model[i]
				if s.put(i, lease{token: token}) == there {
					t.Fatalf("put of %v: it was there: %v", i, there)
				}
				model[i] = token
				known = append(known, i)
			},
			"remove": func(t *rapid.T) {
				if len(known) == 0 {
					t.Skip("nothing was put")
				}
				i := rapid.SampledFrom(known).Draw(t, "id")
				s.remove(i)
				delete(model, i)
			},
			"resize": func(t *rapid.T) { s.resize(max(smallShard, 2*s.n) + rapid.IntRange(0, 20).Draw(t, "room")) },
			"": func(t *rapid.T) {
				if s.n != len(model) {
					t.Fatalf("%d leases, want %d", s.n, len(model))
				}
				for _, i := range known {
					var got uint64
					if at := s.find(i); at != nil {
						got = at.token
					}
					if got != model[i] {
						t.Fatalf("token of %v is %d, want %d", i, got, model[i])
					}
				}
			},
		})
	})
}
