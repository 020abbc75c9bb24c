package e2e

import (
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// A lock moves to another node with its slot, and with it goes the right to
// grant it. The old node must not hand it to those who waited there.
func TestALockWhoseSlotMovesIsGrantedByTheNewNodeAlone(t *testing.T) {
	cluster := holdfasttest.WithArgs("--cluster-enabled", "yes", "--cluster-node-timeout", "60000")
	from, to := lockServer(t, cluster), lockServer(t, cluster)
	id := func(l *locks) string { return strings.Trim(l.do("CLUSTER MYID"), `"`) }
	host, port, _ := strings.Cut(to.Addr, ":")
	from.wants("OK", "CLUSTER ADDSLOTSRANGE 0 16383")
	from.wants("OK", "CLUSTER MEET % %", host, port)
	for _, l := range []*locks{from, to} {
		l.until("cluster", 1, func() int64 {
			info := l.do("CLUSTER INFO")
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2") {
				return 1
			}
			return 0
		})
	}
	slot := from.do("CLUSTER KEYSLOT l")

	from.wants("1", "LOCK.ACQUIRE l a 600000")
	waiters := []lockWaiter{from.park("LOCK.ACQUIRE l b 60000 BLOCK 0"), from.park("LOCK.ACQUIRE l c 60000 BLOCK 0 SHARED")}
	to.wants("OK", "CLUSTER SETSLOT % IMPORTING %", slot, id(from))
	from.wants("OK", "CLUSTER SETSLOT % MIGRATING %", slot, id(to))
	from.wants("OK", "MIGRATE % % l 0 20000", host, port)
	for _, w := range waiters {
		w.hears("-TRYAGAIN the lock's slot moves to another node")
	}
	from.wants("0", "CLUSTER COUNTKEYSINSLOT %", slot)
	to.wants("OK", "CLUSTER SETSLOT % NODE %", slot, id(to))
	from.wants("OK", "CLUSTER SETSLOT % NODE %", slot, id(to))

	to.wants("0", "LOCK.ACQUIRE l b 60000")
	b := to.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	to.wants("1", "LOCK.RELEASE l a")
	b.hears("1")
	from.nothingLeft()
}
