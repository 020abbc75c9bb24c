package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// While nodes hand over to their replicas, slots move (key by key, and in one step where the
// server can) and replicas die, no two clients hold a lock, its tokens grow, and no task that
// was acknowledged to its publisher is lost.
func TestAClusterThatMovesKeepsLocksAndTasks(t *testing.T) {
	clusterMoves(t, seeded(t), 6*time.Second)
}

// clusterTrial is a cluster and what its clients saw.
type clusterTrial struct {
	t     *testing.T
	c     *holdfasttest.ClusterInstance
	ctx   context.Context // ends with the moves
	locks [6]lockSeen
	tasks sync.Map // payload → *clusterTask

	// What was moved when, which is told if anything fails. By one goroutine.
	story []string
	// The nodes that were elected since they started. By one goroutine, too.
	elected map[*holdfasttest.Instance]bool

	requests, grants, published, moves, refused atomic.Int64
}

// clusterTask is a task that may have been published.
type clusterTask struct {
	asked, answered time.Time
	id              string
	delivered       atomic.Int64
}

// lockSeen is what those who held a lock saw of each other.
type lockSeen struct {
	holders atomic.Int64
	token   atomic.Int64
}

func clusterMoves(t *testing.T, seed uint64, howLong time.Duration) tally {
	// The nodes are patient: who takes over is to be decided by this trial, not by how busy the
	// machine is.
	c := holdfasttest.Cluster(t, 3, 1, holdfasttest.WithArgs("--cluster-node-timeout", "5000"))
	ctx, cancel := context.WithTimeout(context.Background(), howLong)
	defer cancel()
	h := &clusterTrial{t: t, ctx: ctx, c: c, elected: map[*holdfasttest.Instance]bool{}}
	var clients, movers sync.WaitGroup
	for i := range 12 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() { h.lock(fmt.Sprint("owner ", i), r) })
	}
	for i := range 3 {
		clients.Go(func() { h.publish(fmt.Sprint("{q", i, "}")) })
	}
	drained, drain := context.WithCancel(context.Background())
	var consumers sync.WaitGroup
	for i := range 6 {
		consumers.Go(func() { h.consume(drained, fmt.Sprint("{q", i%3, "}"), fmt.Sprint("consumer ", i)) })
	}
	movers.Go(func() { h.move(rand.New(rand.NewPCG(seed, 99))) })
	clients.Wait()
	movers.Wait()
	rdb := h.client()
	for q := range 3 {
		await(t, "the tasks to be done", func() bool {
			m, err := rdb.Do(context.Background(), "TASK.STATS", fmt.Sprint("{q", q, "}")).Result()
			if err != nil {
				return false
			}
			stats := m.(map[any]any) // a task is in the stream or delayed
			return stats["length"] == int64(0) && stats["delayed"] == int64(0)
		})
	}
	drain()
	consumers.Wait()
	h.tasks.Range(func(payload, task any) bool {
		if k := task.(*clusterTask); k.delivered.Load() == 0 {
			t.Errorf("task %s was acknowledged to its publisher as %s (%s to %s), and nobody got it",
				payload, k.id, k.asked.Format(clock), k.answered.Format(clock))
		}
		return true
	})
	if t.Failed() {
		t.Logf("what was moved:\n%s", strings.Join(h.story, "\n"))
	}
	t.Logf("%d moves, %d grants, %d tasks, %d requests refused or lost", h.moves.Load(), h.grants.Load(), h.published.Load(), h.refused.Load())
	if h.moves.Load() == 0 || h.grants.Load() == 0 || h.published.Load() == 0 {
		t.Error("nothing happened: the trial shows nothing")
	}
	return tally{int(h.requests.Load()), int(h.moves.Load()), len(h.locks) + int(h.published.Load())}
}

// client is a client that follows the cluster and sends nothing twice by itself.
func (h *clusterTrial) client() *redis.ClusterClient {
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: h.c.Addrs(), MaxRetries: -1, ReadTimeout: 5 * time.Second, DisableIdentity: true})
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// lock takes locks and gives them back; the time in between is the client's alone.
func (h *clusterTrial) lock(owner string, r *rand.Rand) {
	const lease = 2 * time.Second
	rdb := h.client()
	for h.ctx.Err() == nil {
		i := r.IntN(len(h.locks))
		lock, name := &h.locks[i], fmt.Sprint("lock", i)
		h.requests.Add(2)
		asked := time.Now()
		last := lock.token.Load()
		token, err := rdb.Do(context.Background(), "LOCK.ACQUIRE", name, owner, lease.Milliseconds(), "BLOCK", 1+r.IntN(300), "WITHTOKEN").Int64()
		if err != nil {
			h.refused.Add(1)
			rdb.ReloadState(context.Background())
			time.Sleep(time.Millisecond)
			continue
		}
		if token == 0 || time.Since(asked) > lease/2 {
			continue // not granted, or too late to act on it
		}
		h.grants.Add(1)
		if n := lock.holders.Add(1); n != 1 {
			h.t.Errorf("%d hold %s", n, name)
		}
		if token <= last {
			h.t.Errorf("%s was granted with token %d after %d", name, token, last)
		}
		lock.token.Store(max(token, lock.token.Load()))
		time.Sleep(time.Duration(r.Int64N(int64(5 * time.Millisecond)))) // its work
		lock.holders.Add(-1)
		if time.Since(asked) > lease {
			h.t.Log("the machine was too busy: a holder's work took longer than its lease")
		}
		if err := rdb.Do(context.Background(), "LOCK.RELEASE", name, owner).Err(); err != nil {
			h.refused.Add(1)
		}
	}
}

func (h *clusterTrial) publish(stream string) {
	rdb := h.client()
	for i := 0; h.ctx.Err() == nil; i++ {
		payload := fmt.Sprint(stream, " ", i)
		task := &clusterTask{asked: time.Now()}
		h.tasks.Store(payload, task)
		h.requests.Add(1)
		id, err := rdb.Do(context.Background(), "TASK.PUBLISH", stream, payload, "DELAY", i%3).Text()
		if err != nil {
			task.delivered.Add(1) // nobody was told that it is there
			h.refused.Add(1)
			rdb.ReloadState(context.Background())
			continue
		}
		task.answered, task.id = time.Now(), id
		h.published.Add(1)
		time.Sleep(time.Millisecond)
	}
}

func (h *clusterTrial) consume(ctx context.Context, stream, name string) {
	rdb := h.client()
	for ctx.Err() == nil {
		h.requests.Add(1)
		v, err := rdb.Do(context.Background(), "TASK.CONSUME", "g", name, stream, 5, 200, "LEASE", 3000).Result()
		if err != nil && err != redis.Nil {
			h.refused.Add(1)
			rdb.ReloadState(context.Background())
			time.Sleep(time.Millisecond)
			continue
		}
		for _, task := range tasksIn(v) {
			if k, ok := h.tasks.Load(task.payload()); ok {
				k.(*clusterTask).delivered.Add(1)
			}
			h.requests.Add(1)
			rdb.Do(context.Background(), "TASK.ACK", stream, "g", task.id, "CONSUMER", name)
		}
	}
}

// clock is how times are told: as the servers' logs do.
const clock = "15:04:05.000"

func (h *clusterTrial) tell(format string, args ...any) {
	h.story = append(h.story, time.Now().Format(clock)+" "+fmt.Sprintf(format, args...))
}

// move moves something until the time is over, and then until it has moved.
func (h *clusterTrial) move(r *rand.Rand) {
	_, err := h.c.Nodes[0].Client().Do(context.Background(), "CLUSTER", "MIGRATESLOTS").Result()
	atomically := err != nil && !strings.Contains(err.Error(), "unknown subcommand")
	for h.ctx.Err() == nil && !h.t.Failed() {
		h.agreed()
		what := r.IntN(4)
		switch {
		case what == 0:
			h.handOver(h.c.Nodes[r.IntN(len(h.c.Nodes))])
		case what == 1:
			h.killReplica(h.c.Nodes[r.IntN(len(h.c.Nodes))])
		default:
			key := fmt.Sprint("lock", r.IntN(len(h.locks)))
			if r.IntN(2) == 0 {
				key = fmt.Sprint("{q", r.IntN(3), "}")
			}
			h.moveSlot(key, r, atomically && what == 2)
		}
		h.moves.Add(1)
	}
	h.agreed()
}

// agreed waits until all nodes say the same of who serves what.
func (h *clusterTrial) agreed() {
	h.t.Helper()
	await(h.t, "all nodes to agree", func() bool {
		var views []string
		for _, n := range h.c.Nodes {
			c := n.Client()
			slots, err := c.ClusterSlots(context.Background()).Result()
			if err != nil || !strings.Contains(c.ClusterInfo(context.Background()).Val(), "cluster_state:ok") {
				return false
			}
			slices.SortFunc(slots, func(a, b redis.ClusterSlot) int { return a.Start - b.Start })
			var view strings.Builder
			for _, s := range slots {
				fmt.Fprintln(&view, s.Start, s.End, s.Nodes[0].Addr)
			}
			views = append(views, view.String())
		}
		return len(slices.Compact(views)) == 1
	})
}

func role(c *redis.Client) string {
	return c.InfoMap(context.Background(), "replication").Item("Replication", "role")
}

func linked(c *redis.Client) bool {
	return c.InfoMap(context.Background(), "replication").Item("Replication", "master_link_status") == "up"
}

// handOver has a replica take the place of its primary, which has to agree. A server keeps the
// votes of an election that it won. Asked to take over again within twice the node timeout, it
// believes itself elected at once, serves clients until the others disagree, and loses what it
// acknowledged in between. So no node takes over twice, unless it was started again.
func (h *clusterTrial) handOver(n *holdfasttest.Instance) {
	c := n.Client()
	if role(c) != "slave" || !linked(c) || h.elected[n] {
		return
	}
	h.tell("%s takes over", n.Addr)
	defer func() { h.tell("%s is a %s", n.Addr, role(c)) }()
	h.elected[n] = true
	// The primary agrees within five seconds or not at all, as when the others have voted
	// a moment ago.
	c.Do(context.Background(), "CLUSTER", "FAILOVER")
	for end := time.Now().Add(6 * time.Second); role(c) != "master"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Logf("%s was not handed over to", n.Addr)
			return
		}
	}
}

func (h *clusterTrial) killReplica(n *holdfasttest.Instance) {
	if role(n.Client()) != "slave" {
		return
	}
	h.tell("%s is killed and started again", n.Addr)
	n.Kill()
	n.Restart()
	delete(h.elected, n)
	await(h.t, "the replica to follow again", func() bool { return linked(n.Client()) })
}

// moveSlot moves a key's slot to another primary.
func (h *clusterTrial) moveSlot(key string, r *rand.Rand, atomically bool) {
	ctx := context.Background()
	from := h.c.Primary(key)
	var others []*holdfasttest.Instance
	for _, n := range h.c.Nodes {
		if n != from && role(n.Client()) == "master" {
			others = append(others, n)
		}
	}
	to := others[r.IntN(len(others))]
	fc, tc := from.Client(), to.Client()
	h.tell("%s moves from %s to %s", key, from.Addr, to.Addr)
	defer func() { h.tell("%s has moved", key) }()
	slot := fc.ClusterKeySlot(ctx, key).Val()
	id := func(c *redis.Client) string { return fmt.Sprint(c.Do(ctx, "CLUSTER", "MYID").Val()) }
	owns := func() bool { return h.c.Primary(key) == to }
	if atomically {
		if err := fc.Do(ctx, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", id(tc)).Err(); err != nil {
			h.t.Logf("slot %d does not move now: %v", slot, err)
			return
		}
		await(h.t, "the slot to be there", owns)
		return
	}
	run := func(c *redis.Client, args ...any) {
		h.t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err := c.Do(ctx, args...).Err()
			if err == nil {
				return
			}
			// A node that was cut off a moment ago may not have heard yet that it is back.
			if !strings.Contains(err.Error(), "CLUSTERDOWN") || time.Now().After(end) {
				h.t.Fatalf("%v: %v", args, err)
			}
		}
	}
	run(tc, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(fc))
	run(fc, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(tc))
	for {
		keys, err := fc.ClusterGetKeysInSlot(ctx, int(slot), 100).Result()
		if err != nil {
			h.t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", "127.0.0.1", strconv.Itoa(to.Port), "", 0, 20000, "KEYS"}
		for _, k := range keys {
			args = append(args, k)
		}
		run(fc, args...)
	}
	run(tc, "CLUSTER", "SETSLOT", slot, "NODE", id(tc))
	run(fc, "CLUSTER", "SETSLOT", slot, "NODE", id(tc))
	await(h.t, "all to know it", owns)
}
