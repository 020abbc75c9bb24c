package blocking_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/blocking"
)

// pair is a cluster of two nodes: where the slot of "l" is, and where it goes.
type pair struct {
	*bench
	from, to *redis.Client
	cluster  *redis.ClusterClient
	pool     *blocking.Pool
}

func startPair(t *testing.T) *pair {
	t.Helper()
	b := start(t)
	c := holdfasttest.Cluster(t, 2, 0, holdfasttest.WithModules())
	from, to := c.Nodes[0], c.Nodes[1]
	if c.Primary("l") == to {
		from, to = to, from
	}
	rdb := c.Client()
	return &pair{b, from.Client(), to.Client(), rdb, b.over(rdb)}
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// slot does a step of moving the slot of "l".
func (p *pair) slot(on *redis.Client, step string, node *redis.Client) {
	p.t.Helper()
	id, err := node.Do(p.context(), "CLUSTER", "MYID").Text()
	p.must(err)
	p.must(on.Do(p.context(), "CLUSTER", "SETSLOT", p.from.ClusterKeySlot(p.context(), "l").Val(), step, id).Err())
}

func TestAWaitFollowsASlotThatHasMoved(t *testing.T) {
	p := startPair(t)
	c := p.get(p.pool, "l") // to the node that has the slot, when it was asked
	p.slot(p.to, "NODE", p.to)
	p.slot(p.from, "NODE", p.to)
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
	p.slot(p.to, "IMPORTING", p.from)
	p.slot(p.from, "MIGRATING", p.to)
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
