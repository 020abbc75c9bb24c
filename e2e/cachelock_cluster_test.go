package e2e

import (
	"strings"
	"testing"
)

// A key moves to another node with its slot, and the value is stored there. Those who
// wait at the old one are told at once, though their loader's lease lasts.
func TestWhoWaitsForAKeyWhoseSlotMovesIsSentOn(t *testing.T) {
	from, to := cacheServer(t, inCluster), cacheServer(t, inCluster)
	moves := cluster(t, from.Instance, to.Instance, "k")

	from.loads("CACHE.FETCH k 60000 60000")
	waiting := from.park(3, parkForEver)
	moves.begin()
	moves.end()
	to.wants("OK", "CACHE.SET k v 60000")
	for _, w := range waiting {
		w.hears("-TRYAGAIN the key's slot moves to another node")
	}
	from.nobodyWaits()
	if reply := from.do(parkForEver); !strings.HasPrefix(reply, "-MOVED ") {
		t.Errorf("asked again the old node answers %s", reply)
	}
	to.wants(`["HIT" "v" nil]`, parkForEver)
}
