package blocking_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/blocking"
)

// pair is a cluster of two nodes, the first of which has all the slots.
type pair struct {
	*bench
	from, to *redis.Client
	nodes    [2]*holdfasttest.Instance
	cluster  *redis.ClusterClient
	pool     *blocking.Pool
}

func startPair(t *testing.T) *pair {
	t.Helper()
	b := start(t)
	c := holdfasttest.Cluster(t, 1, 0, holdfasttest.WithModules())
	other := holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithArgs("--cluster-enabled", "yes"))
	p := &pair{bench: b, from: c.Nodes[0].Client(), to: other.Client(), nodes: [2]*holdfasttest.Instance{c.Nodes[0], other}}
	p.must(p.to.ClusterMeet(b.context(), "127.0.0.1", strconv.Itoa(c.Nodes[0].Port)).Err())
	for _, node := range []*redis.Client{p.from, p.to} {
		until(t, "the nodes know each other", func() bool {
			return strings.Contains(node.ClusterInfo(b.context()).Val(), "cluster_known_nodes:2") &&
				strings.Contains(node.ClusterInfo(b.context()).Val(), "cluster_state:ok")
		})
	}
	p.cluster = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr}})
	p.pool = b.over(p.cluster)
	return p
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) id(node *redis.Client) string {
	id, err := node.Do(p.context(), "CLUSTER", "MYID").Text()
	p.must(err)
	return id
}

// slot does a step of moving a key's slot on a node.
func (p *pair) slot(on *redis.Client, key, step string, of *redis.Client) {
	p.t.Helper()
	n := p.from.ClusterKeySlot(p.context(), key).Val()
	p.must(on.Do(p.context(), "CLUSTER", "SETSLOT", n, step, p.id(of)).Err())
}

func TestAWaitFollowsASlotThatHasMoved(t *testing.T) {
	p := startPair(t)
	c := p.get(p.pool, "l") // to the node that has the slot, when it was asked
	p.slot(p.to, "l", "NODE", p.to)
	p.slot(p.from, "l", "NODE", p.to)
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
	p.slot(p.to, "l", "IMPORTING", p.from)
	p.slot(p.from, "l", "MIGRATING", p.to)
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
