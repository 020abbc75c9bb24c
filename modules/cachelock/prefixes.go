package cachelock

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/modules/internal/histogram"
	"holdfast/redismodule"
)

// group counts what happens to the keys that begin with one of the prefixes in
// cachelock.stats-prefixes. A key counts for the longest prefix that it begins with.
type group struct {
	prefix                         string
	hits, misses, loads, coalesced int
	loadTimes                      histogram.Histogram // ms from LOAD to the value
}

// groups are sorted by their prefixes, as redismodule.SetPrefixes wants them.
var groups []*group

// other takes what is counted for keys without a prefix. It is never read.
var other group

// groupOf is the group that a key counts for.
func groupOf(key []byte) *group {
	if len(groups) > 0 {
		if i := redismodule.PrefixOf(key); i >= 0 {
			return groups[i]
		}
	}
	return &other
}

// parsePrefixes reads prefixes with spaces between them.
func parsePrefixes(text string) ([]string, error) {
	prefixes := strings.Fields(text)
	slices.Sort(prefixes)
	prefixes = slices.Compact(prefixes)
	if len(prefixes) > redismodule.MaxPrefixes {
		return nil, fmt.Errorf("%d prefixes, and %d are the most", len(prefixes), redismodule.MaxPrefixes)
	}
	for _, p := range prefixes {
		if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("the prefix %q has a control character in it", p)
		}
	}
	return prefixes, nil
}

// setGroups makes a group for each prefix. One whose prefix stays keeps its counts.
func setGroups(text string) {
	prefixes, err := parsePrefixes(text)
	if err != nil {
		return // refused already, when it was set
	}
	old := map[string]*group{}
	for i, g := range groups {
		g.hits += redismodule.PrefixHits(i)
		old[g.prefix] = g
	}
	groups = nil
	for _, p := range prefixes {
		g := old[p]
		if g == nil {
			g = &group{prefix: p}
		}
		groups = append(groups, g)
	}
	redismodule.SetPrefixes(prefixes)
}

func infoGroups(w *redismodule.Info) {
	for i, g := range groups {
		w.String(fmt.Sprint("prefix_", i), fmt.Sprintf(
			"hits=%d,misses=%d,loads=%d,coalesced=%d,load_ms_p50=%d,load_ms_p99=%d,load_ms_max=%d,prefix=%s",
			g.hits+redismodule.PrefixHits(i), g.misses, g.loads, g.coalesced,
			g.loadTimes.Quantile(0.5), g.loadTimes.Quantile(0.99), g.loadTimes.Max(), g.prefix))
	}
}
