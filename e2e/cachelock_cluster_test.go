package e2e

import (
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// A key moves to another node with its slot, and the value is stored there. Those
// who wait at the old one must not load it one after the other: when their loader is
// out of time they are sent on.
func TestWhoWaitsForAKeyWhoseSlotMovesIsSentOn(t *testing.T) {
	cluster := holdfasttest.WithArgs("--cluster-enabled", "yes", "--cluster-node-timeout", "60000")
	from, to := cacheServer(t, cluster), cacheServer(t, cluster)
	id := func(c *cache) string { return strings.Trim(c.do("CLUSTER MYID"), `"`) }
	host, port, _ := strings.Cut(to.Addr, ":")
	from.wants("OK", "CLUSTER ADDSLOTSRANGE 0 16383")
	from.wants("OK", "CLUSTER MEET % %", host, port)
	for _, c := range []*cache{from, to} {
		for info := ""; !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:2"); {
			info = c.do("CLUSTER INFO")
		}
	}
	slot := from.do("CLUSTER KEYSLOT k")

	from.loads("CACHE.FETCH k 60000 60000")
	waiting := from.park(3, parkForEver)
	to.wants("OK", "CLUSTER SETSLOT % IMPORTING %", slot, id(from))
	from.wants("OK", "CLUSTER SETSLOT % MIGRATING %", slot, id(to))
	to.wants("OK", "CLUSTER SETSLOT % NODE %", slot, id(to))
	from.wants("OK", "CLUSTER SETSLOT % NODE %", slot, id(to))
	to.wants("OK", "CACHE.SET k v 60000")
	from.wants("OK", "FLUSHALL") // ends the lease as its time would, but now
	for _, w := range waiting {
		w.hears("-TRYAGAIN the key's slot moves to another node")
	}
	from.nobodyWaits()
	if reply := from.do(parkForEver); !strings.HasPrefix(reply, "-MOVED ") {
		t.Errorf("asked again the old node answers %s", reply)
	}
	to.wants(`["HIT" "v" nil]`, parkForEver)
}
