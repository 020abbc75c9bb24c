package blocking_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/blocking"
	"holdfast/internal/clienttest"
)

// pair is a cluster of two nodes: where the slot of "l" is, and where it goes.
type pair struct {
	*bench
	slot     *clienttest.Slot
	from, to *redis.Client
	cluster  *redis.ClusterClient
	pool     *blocking.Pool
}

func startPair(t *testing.T) *pair {
	t.Helper()
	b := start(t)
	c := holdfasttest.Cluster(t, 2, 0, holdfasttest.WithModules())
	slot := clienttest.SlotOf(t, c, "l")
	rdb := c.Client()
	return &pair{b, slot, slot.From.Client(), slot.To.Client(), rdb, b.over(rdb)}
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestAWaitFollowsASlotThatHasMoved(t *testing.T) {
	p := startPair(t)
	c := p.get(p.pool, "l") // to the node that has the slot, when it was asked
	p.slot.End()
	got := wait(p.context(), c, 0, nil, "BLPOP", "l", 0)
	parked(t, p.to, 1)
	p.must(p.cluster.RPush(p.context(), "l", "x").Err())
	if o := <-got; o.err != nil || fmt.Sprint(o.reply) != "[l x]" {
		t.Error(o)
	}
}

func TestAWaitFollowsASlotThatIsMoving(t *testing.T) {
	p := startPair(t)
	p.must(p.from.RPush(p.context(), "l", "y").Err())
	p.slot.Begin()
	// What is there still is had from where it is.
	if o := <-wait(p.context(), p.get(p.pool, "l"), 0, nil, "BLPOP", "l", 0); fmt.Sprint(o.reply) != "[l y]" {
		t.Error(o)
	}
	// What is not is waited for where it will be.
	got := wait(p.context(), p.get(p.pool, "l"), 0, nil, "BLPOP", "l", 0)
	parked(t, p.to, 1)
	p.must(p.cluster.RPush(p.context(), "l", "x").Err())
	if o := <-got; o.err != nil || fmt.Sprint(o.reply) != "[l x]" {
		t.Error(o)
	}
	// And one that is called off there.
	ctx, cancel := context.WithCancel(p.context())
	got = wait(ctx, p.get(p.pool, "l"), 0, nil, "BLPOP", "l", 0)
	parked(t, p.to, 1)
	cancel()
	if o := <-got; o.err != context.Canceled {
		t.Error(o)
	}
	parked(t, p.to, 0)
}
