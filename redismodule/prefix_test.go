package redismodule_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast/redismodule"
)

// Whatever the prefixes are, a key counts for the longest that it begins with.
func TestAKeyCountsForItsLongestPrefix(t *testing.T) {
	defer redismodule.SetPrefixes(nil)
	letters := []string{"a", "b", ":", "\x00", "é", "\U0010ffff"}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		texts := func(most int) (all []string) {
			for range r.IntN(most + 1) {
				text := ""
				for range 1 + r.IntN(14) {
					text += letters[r.IntN(len(letters))]
				}
				all = append(all, text)
			}
			return all
		}
		prefixes := texts(redismodule.MaxPrefixes)
		slices.Sort(prefixes)
		prefixes = slices.Compact(prefixes)
		redismodule.SetPrefixes(prefixes)
		keys := append(texts(50), "")
		for _, p := range prefixes {
			keys = append(keys, p, p+"x", p[:len(p)-1])
		}
		for _, key := range keys {
			want := -1
			for i, p := range prefixes {
				if strings.HasPrefix(key, p) && (want < 0 || len(p) > len(prefixes[want])) {
					want = i
				}
			}
			if got := redismodule.PrefixOf([]byte(key)); got != want {
				t.Fatalf("seed %d: the prefix of %q is number %d, want %d of %q", seed, key, got, want, prefixes)
			}
		}
	}
}
