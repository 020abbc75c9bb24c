package redismodule_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/redismodule"
)

// Whatever the prefixes are, a key counts for the longest that it begins with.
func TestAKeyCountsForItsLongestPrefix(t *testing.T) {
	defer redismodule.SetPrefixes(nil)
	text := rapid.StringMatching(`[ab:\x00é\x{10ffff}]{1,14}`)
	rapid.Check(t, func(t *rapid.T) {
		prefixes := rapid.SliceOfNDistinct(text, 0, redismodule.MaxPrefixes, rapid.ID).Draw(t, "prefixes")
		slices.Sort(prefixes)
		redismodule.SetPrefixes(prefixes)
		keys := rapid.SliceOfN(rapid.OneOf(text, rapid.Just("")), 1, 50).Draw(t, "keys")
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
				t.Fatalf("the prefix of %q is number %d, want %d of %q", key, got, want, prefixes)
			}
		}
	})
}
