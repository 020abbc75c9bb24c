package holdfasttest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// ClusterInstance is a running Redis Cluster.
type ClusterInstance struct {
	Nodes []*Instance // the first primaries first
	t     testing.TB
}

// Cluster starts a Redis Cluster of so many primaries, which share the slots
// evenly, each with so many replicas, and returns when all tell clients of all. A primary
// that dies is failed over after about two seconds. At least three primaries are
// needed for that.
func Cluster(t testing.TB, primaries, replicas int, options ...Option) *ClusterInstance {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c := &ClusterInstance{t: t, Nodes: startAll(t, primaries*(1+replicas), append([]Option{WithArgs(
		"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0",
	)}, options...))}
	ids := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		rdb := node.Client()
		id, err := rdb.Do(ctx, "CLUSTER", "MYID").Text()
		must(t, err)
		ids[i] = id
		must(t, rdb.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		if i < primaries {
			must(t, rdb.ClusterAddSlotsRange(ctx, i*16384/primaries, (i+1)*16384/primaries-1).Err())
		}
		if i > 0 {
			must(t, rdb.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(c.Nodes[0].Port)).Err())
		}
	}
	c.await(ctx, "nodes", func(view string) bool { return strings.Count(view, " connected") == len(c.Nodes) })
	for i := primaries; i < len(c.Nodes); i++ {
		must(t, c.Nodes[i].Client().ClusterReplicate(ctx, ids[i%primaries]).Err())
	}
	c.await(ctx, "replicas", func(view string) bool { return strings.Count(view, "slave ") == len(c.Nodes)-primaries })
	for i, node := range c.Nodes {
		rdb := node.Client()
		await(ctx, t, "the cluster is up", func() bool {
			info := rdb.Info(ctx, "replication").Val()
			return strings.Contains(rdb.ClusterInfo(ctx).Val(), "cluster_state:ok") &&
				(i < primaries || strings.Contains(info, "master_link_status:up"))
		})
	}
	for _, node := range c.Nodes { // which tells of a replica later than it knows of it
		await(ctx, t, "every node tells clients of all nodes", func() bool {
			told := 0
			for _, slots := range node.Client().ClusterSlots(ctx).Val() {
				told += len(slots.Nodes)
			}
			return told == len(c.Nodes)
		})
	}
	return c
}

// await waits until every node sees the cluster so.
func (c *ClusterInstance) await(ctx context.Context, what string, so func(view string) bool) {
	c.t.Helper()
	for _, node := range c.Nodes {
		rdb := node.Client()
		await(ctx, c.t, "every node knows the "+what, func() bool { return so(rdb.ClusterNodes(ctx).Val()) })
	}
}

// Addrs are the addresses of all nodes.
func (c *ClusterInstance) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr
	}
	return addrs
}

// Client is a new client of the cluster, with go-redis's own timeouts and retries,
// closed when the test ends. By itself it looks once a minute who the primaries are,
// and does not when one dies; its ReloadState does.
func (c *ClusterInstance) Client() *redis.ClusterClient {
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	c.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Primary is the node that has a key's slot, as the other nodes see it now.
func (c *ClusterInstance) Primary(key string) *Instance {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	defer func() { _ = rdb.Close() }()
	var primary *Instance
	await(ctx, c.t, "somebody has the slot", func() bool {
		node, err := rdb.MasterForKey(ctx, key)
		if err != nil || node.Ping(ctx).Err() != nil {
			rdb.ReloadState(ctx)
			return false
		}
		for _, n := range c.Nodes {
			if n.Addr == node.Options().Addr {
				primary = n
			}
		}
		return primary != nil
	})
	return primary
}

// startAll starts servers at once.
func startAll(t testing.TB, n int, options []Option) []*Instance {
	t.Helper()
	cfg, err := config(options)
	must(t, err)
	all, errs := make([]*Instance, n), make([]error, n)
	var done sync.WaitGroup
	for i := range all {
		done.Go(func() { all[i], errs[i] = start(t, cfg) })
	}
	done.Wait()
	for _, err := range errs {
		must(t, err)
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for something to become so.
func await(ctx context.Context, t testing.TB, what string, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not even after %v: %s", startTimeout, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
