package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"holdfast/holdfasttest"
)

// scaleFigures are what docs/scale.md and holdfast size reckon with: microseconds of all
// of a server's processor time, and bytes of its resident memory, for one of each.
type scaleFigures struct {
	CPU   map[int]map[string]float64 `json:"cpu_us_by_primaries"`
	Bytes map[string]float64         `json:"bytes"`
}

// An operation costs the same in clusters of 3, 6 and 12 primaries, with as many partitions
// more; and a primary that dies costs those alone whose keys it had. HOLDFAST_SCALE=FILE
// measures and writes the figures into a file, see make scale.
func TestCostsStayFlatWhileAClusterGrows(t *testing.T) {
	file := os.Getenv("HOLDFAST_SCALE")
	if file == "" {
		t.Skip("make scale")
	}
	figures := scaleFigures{CPU: map[int]map[string]float64{}, Bytes: bytesOfEach(t)}
	sizes := []int{3, 6, 12}
	clusters := map[int][]*scaleNode{}
	for _, primaries := range sizes {
		clusters[primaries] = scaleCluster(t, primaries)
		figures.CPU[primaries] = map[string]float64{}
	}
	// In turn, so that what else the machine does meets all of them, and the least of many
	// rounds. One primary at a time: in earnest each has a core to itself, and here they
	// would all share two.
	const rounds, each = 36, 400
	for round := range rounds {
		for op, once := range scaleOps {
			for _, primaries := range sizes {
				n := clusters[primaries][round%primaries]
				before := n.worked()
				for i := range each {
					once(n, n.keys[i%len(n.keys)])
				}
				cost := (n.worked() - before).Seconds() * 1e6 / each
				if old := figures.CPU[primaries][op]; old == 0 || cost < old {
					figures.CPU[primaries][op] = cost
				}
			}
		}
	}
	for _, primaries := range sizes {
		oneDies(t, clusters[primaries])
	}
	for op, few := range figures.CPU[3] {
		for _, primaries := range sizes[1:] {
			cost := figures.CPU[primaries][op]
			t.Logf("%-32s %6.2f µs with 3 primaries, %6.2f with %d", op, few, cost, primaries)
			if math.Abs(cost/few-1) > 0.10 {
				t.Errorf("%s costs %.2f µs with 3 primaries and %.2f with %d", op, few, cost, primaries)
			}
		}
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// scaleNode is a primary of the cluster that is measured.
type scaleNode struct {
	*locks
	keys []string // tags of slots that are its own
}

// scaleOps are the operations that are measured, on a key of the node's own.
var scaleOps = map[string]func(n *scaleNode, key string){
	"task": func(n *scaleNode, stream string) {
		n.do("TASK.PUBLISH % payload-of-a-task", stream)
		task := answered.FindString(n.do("TASK.CONSUME g c % 1 0 LEASE 60000", stream))
		n.wants("1", "TASK.ACK % g % CONSUMER c", stream, task)
	},
	"lock": func(n *scaleNode, key string) {
		n.wants("1", "LOCK.ACQUIRE % me 60000", key+"lock")
		n.wants("1", "LOCK.RELEASE % me", key+"lock")
	},
	"hit": func(n *scaleNode, key string) { n.do("CACHE.FETCH % 60000 60000", key+"value") },
	"load": func(n *scaleNode, key string) {
		token := n.loads("CACHE.FETCH % 60000 60000", key+"loaded")
		n.wants("OK", "CACHE.SET % value 60000 TOKEN %", key+"loaded", token)
		n.do("CACHE.DEL %", key+"loaded")
	},
}

// scaleCluster is a cluster with four partitions of a queue, and a cached value beside each,
// on every primary.
func scaleCluster(t *testing.T, primaries int) []*scaleNode {
	const partitions = 4
	c := holdfasttest.Cluster(t, primaries, 0, holdfasttest.WithArgs("--cluster-node-timeout", "60000"))
	nodes := make([]*scaleNode, primaries)
	for i := range nodes {
		nodes[i] = &scaleNode{locks: &locks{c.Nodes[i], dialCache(t, c.Nodes[i].Addr)}}
	}
	for i := 0; slices.ContainsFunc(nodes, func(n *scaleNode) bool { return len(n.keys) < partitions }); i++ {
		tag := fmt.Sprintf("{queue:%d}", i)
		slot, _ := strconv.Atoi(nodes[0].do("CLUSTER KEYSLOT %", tag))
		for k, n := range nodes {
			if slot >= k*16384/primaries && slot < (k+1)*16384/primaries && len(n.keys) < partitions {
				n.keys = append(n.keys, tag)
				n.wants("OK", "CACHE.SET % value 600000", tag+"value")
			}
		}
	}
	return nodes
}

// oneDies kills a primary. Everyone else's keys are served on, at once.
func oneDies(t *testing.T, nodes []*scaleNode) {
	t.Helper()
	for _, n := range nodes {
		n.wants("OK", "CONFIG SET cluster-require-full-coverage no")
	}
	nodes[0].Kill()
	for i, n := range nodes[1:] {
		for _, k := range n.keys {
			n.wants("1", "LOCK.ACQUIRE % me 60000", fmt.Sprint(k, "after", i))
			n.do("TASK.PUBLISH % after", k)
			n.do("TASK.CONSUME g c %", k)
		}
	}
}

// bytesOfEach is the resident memory of one of each among many.
func bytesOfEach(t *testing.T) map[string]float64 {
	const many = 200_000
	bytes := map[string]float64{}
	measure := func(what string, n int, put func(s *holdfasttest.Instance, c *cacheConn)) {
		s := holdfasttest.Server(t, holdfasttest.WithArgs("--maxclients", "12000"))
		c := dialCache(t, s.Addr)
		before, _ := resident(t, s.PID())
		if what == "server" {
			bytes[what] = float64(before) * 1024
			return
		}
		put(s, c)
		after, _ := resident(t, s.PID())
		bytes[what] = float64(after-before) * 1024 / float64(n)
	}
	line := func(line string) func(*holdfasttest.Instance, *cacheConn) {
		return func(_ *holdfasttest.Instance, c *cacheConn) { c.many(many, "", line) }
	}
	measure("server", 1, nil)
	measure("lock", many, line("LOCK.ACQUIRE order:%:lock client-12345 600000"))
	measure("lease", many, line("CACHE.LOCK page:% 600000 600000"))
	measure("value", many, line("CACHE.SET page:% v 600000"))
	measure("task waiting", many, line("TASK.PUBLISH s p"))
	measure("task delayed", many, line("TASK.PUBLISH s p DELAY 600000"))
	const connections = 5000
	conns := func(send string) func(*holdfasttest.Instance, *cacheConn) {
		return func(s *holdfasttest.Instance, c *cacheConn) {
			c.do("LOCK.ACQUIRE l holder 600000")
			for i := range connections {
				w := dialCache(t, s.Addr)
				if send == "" {
					w.do("PING")
				} else {
					w.send(send, fmt.Sprint("client-", i))
				}
			}
			if send != "" {
				c.blocked(connections)
			}
		}
	}
	measure("connection", connections, conns(""))
	measure("waiter for a lock", connections, conns("LOCK.ACQUIRE l % 60000 BLOCK 0"))
	measure("waiter for a task", connections, conns("TASK.CONSUME g % s 1 0"))
	for what, b := range bytes {
		t.Logf("%-20s %10.0f bytes", what, b)
	}
	return bytes
}
