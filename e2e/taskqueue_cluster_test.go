package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// A stream moves to another node with its slot, and its tasks are handed out there.
// Who waits at the old node would wait in vain.
func TestWhoWaitsInAStreamWhoseSlotMovesIsSentOn(t *testing.T) {
	a, b := taskServer(t, inCluster), taskServer(t, inCluster)
	from, to := tasksOn(t, a), tasksOn(t, b)
	moves := cluster(t, a, b, "s")
	answers := from.waits("TASK.CONSUME g NAME s 1 0", "c1", "c2", "c3")
	stays := from.waits("TASK.CONSUME g NAME other 1 0", "c4")
	moves.begin("s")
	for range 3 {
		if got := nextOf(t, answers); got.err == nil || !strings.HasPrefix(got.err.Error(), "TRYAGAIN ") {
			t.Errorf("%s is told %v %v", got.who, got.v, got.err)
		}
	}
	moves.end()
	from.fails("MOVED", "TASK.CONSUME g c1 s 1 0")
	answers = to.waits("TASK.CONSUME g NAME s 1 0", "c1")
	to.publish("s", "p")
	if got := nextOf(t, answers); taskPayloads(got.v) != "p" {
		t.Error(got.v, got.err)
	}
	from.publish("other", "q")
	if got := nextOf(t, stays); taskPayloads(got.v) != "q" {
		t.Error(got.v, got.err)
	}
	unload(t, from.Client, "taskqueue")
}

// While a slot moves, its keys are at either node. A unique id that has gone ahead of its
// stream still counts.
func TestAUniqueIDThatMovedBeforeItsStreamStillCounts(t *testing.T) {
	a, b := taskServer(t, inCluster), taskServer(t, inCluster)
	from, to := tasksOn(t, a), tasksOn(t, b)
	moves := cluster(t, a, b, "s")
	id := from.do("TASK.PUBLISH s x UNIQUE u 3600000")
	moves.begin("{s}:unique:u")
	from.fails("TRYAGAIN", "TASK.PUBLISH s y UNIQUE u 3600000")
	from.wants(int64(1), "XLEN s")
	moves.do(moves.from, "MIGRATE", moves.host, moves.port, "s", 0, 20000)
	moves.end()
	from.fails("MOVED", "TASK.PUBLISH s y UNIQUE u 3600000")
	to.wants(id, "TASK.PUBLISH s y UNIQUE u 3600000")
}

// At its promotion a node does not serve its slots yet. It looks for what is delayed after
// that, and not half a second later, as where it is refused.
func TestDelayedTasksFallDueInTimeAfterAHandOver(t *testing.T) {
	c := holdfasttest.Cluster(t, 3, 1)
	least, seen := int64(math.MaxInt64), map[*holdfasttest.Instance]bool{}
	for i := 0; len(seen) < 3; i++ {
		stream := fmt.Sprint("s", i)
		from := c.Primary(stream)
		if seen[from] {
			continue
		}
		var heir *holdfasttest.Instance
		for _, n := range c.Nodes {
			if n.Client().InfoMap(t.Context(), "replication").Item("Replication", "master_port") == fmt.Sprint(from.Port) {
				heir = n
			}
		}
		seen[heir] = true // its primary from now on
		awaitLink(t, heir.Client())
		old, q := tasksOn(t, from), tasksOn(t, heir)
		due := time.Now().Add(200 * time.Millisecond).UnixMilli()
		old.do("TASK.PUBLISH % x AT %", stream, due)
		old.replicated(q)
		q.do("CLUSTER FAILOVER")
		await(t, "the hand-over", func() bool { return c.Primary(stream) == heir })
		q.until(1, func() int64 { return q.do("XLEN %", stream).(int64) })
		var ms int64
		fmt.Sscanf(q.do("XRANGE % - +", stream).([]any)[0].([]any)[0].(string), "%d-", &ms)
		least = min(least, ms-due)
	}
	if least > 100 {
		t.Errorf("the delayed tasks came %d ms late, or later", least)
	}
}
