package e2e

import (
	"testing"
)

// A lock moves to another node with its slot, and with it goes the right to
// grant it. The old node must not hand it to those who waited there.
func TestALockWhoseSlotMovesIsGrantedByTheNewNodeAlone(t *testing.T) {
	from, to := lockServer(t, inCluster), lockServer(t, inCluster)
	moves := cluster(t, from.Instance, to.Instance, "l")

	from.wants("1", "LOCK.ACQUIRE l a 600000")
	waiters := []lockWaiter{from.park("LOCK.ACQUIRE l b 60000 BLOCK 0"), from.park("LOCK.ACQUIRE l c 60000 BLOCK 0 SHARED")}
	moves.begin("l")
	for _, w := range waiters {
		w.hears("-TRYAGAIN the lock's slot moves to another node")
	}
	moves.end()

	to.wants("0", "LOCK.ACQUIRE l b 60000")
	b := to.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	to.wants("1", "LOCK.RELEASE l a")
	b.hears("1")
	from.nothingLeft()
}
