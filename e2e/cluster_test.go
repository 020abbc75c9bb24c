package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// inCluster are the arguments of a node that is not soon taken for dead.
var inCluster = holdfasttest.WithArgs("--cluster-enabled", "yes", "--cluster-node-timeout", "60000")

// moving is a slot on its way from one node of a cluster to another.
type moving struct {
	t            *testing.T
	from, to     *redis.Client
	host, port   string
	slot         any
	fromID, toID any
}

// cluster makes one of two nodes, of which from serves everything, and names the slot
// of a key, to be moved.
func cluster(t *testing.T, from, to *holdfasttest.Instance, key string) *moving {
	t.Helper()
	m := &moving{t: t, from: from.Client(), to: to.Client()}
	m.host, m.port, _ = net.SplitHostPort(to.Addr)
	m.do(m.from, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	m.do(m.from, "CLUSTER", "MEET", m.host, m.port)
	for _, c := range []*redis.Client{m.from, m.to} {
		await(t, "the cluster to stand", func() bool {
			info := c.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		})
	}
	m.slot = m.do(m.from, "CLUSTER", "KEYSLOT", key)
	m.fromID, m.toID = m.do(m.from, "CLUSTER", "MYID"), m.do(m.to, "CLUSTER", "MYID")
	return m
}

// back is the same slot on its way home.
func (m *moving) back() *moving {
	home := m.from.Options().Addr
	host, port, _ := net.SplitHostPort(home)
	return &moving{t: m.t, from: m.to, to: m.from, host: host, port: port, slot: m.slot, fromID: m.toID, toID: m.fromID}
}

// begin has the slot's keys go one by one.
func (m *moving) begin(keys ...string) {
	m.t.Helper()
	m.do(m.to, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.fromID)
	m.do(m.from, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.toID)
	for _, key := range keys {
		m.do(m.from, "MIGRATE", m.host, m.port, key, 0, 20000)
	}
}

// end gives the slot to the other node.
func (m *moving) end() {
	m.t.Helper()
	m.do(m.to, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID)
	m.do(m.from, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID)
}

func (m *moving) do(c *redis.Client, args ...any) any {
	m.t.Helper()
	v, err := c.Do(ctx, args...).Result()
	if err != nil {
		m.t.Fatal(fmt.Sprint(args...), err)
	}
	return v
}
