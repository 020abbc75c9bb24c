package queue_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

// publishReplicated publishes a task and says nil when a replica has it: then no
// failover may lose it.
func publishReplicated(ctx context.Context, node *redis.Client, stream string, i int) error {
	pipe := node.Pipeline() // WAIT speaks of its own connection's writes
	pipe.Do(ctx, "TASK.PUBLISH", stream, fmt.Sprintf("%q", fmt.Sprint(i)))
	n := pipe.Do(ctx, "WAIT", 1, 1000)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if n.Val() != int64(1) {
		return fmt.Errorf("%v replicas have it", n.Val())
	}
	return nil
}

// sentinel starts a sentinel for a primary and tells its address.
func sentinel(t *testing.T, primary *holdfasttest.Instance) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n", port, primary.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := exec.Command(cmp.Or(os.Getenv("HOLDFAST_SERVER"), "redis-server"), conf, "--sentinel")
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
	c := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer c.Close()
	until(t, "the sentinel knows the replica", func() bool {
		replicas, err := c.Replicas(context.Background(), "main").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return addr
}

func TestAFailoverBySentinelLosesNoReplicatedTask(t *testing.T) {
	a := start(t, holdfasttest.WithArgs("--repl-diskless-sync-delay", "0"))
	b := holdfasttest.Server(t, holdfasttest.WithArgs("--replicaof", "127.0.0.1 "+strconv.Itoa(a.Port), "--repl-diskless-sync-delay", "0"))
	addr := sentinel(t, a.Instance)
	client := func() *redis.Client {
		c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{addr}})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c := newTally()
	o := queue.WorkerOptions{Lease: 2 * time.Second, Logger: quiet}
	for range 2 {
		w := run(t, queue.NewWorker(queue.New[string](client(), "q", queue.Options{}), c.handle, o))
		defer w.stop()
	}
	publisher := client()
	const n = 1000
	var alone atomic.Bool // one server is left: nobody can confirm
	all := load(t, func(i int) error {
		if alone.Load() {
			return publisher.Do(context.Background(), "TASK.PUBLISH", "q", fmt.Sprintf("%q", fmt.Sprint(i))).Err()
		}
		return publishReplicated(context.Background(), publisher, "q", i)
	}, n)
	until(t, "some are done", func() bool { return c.len() >= n/4 })
	a.Kill()
	alone.Store(true)
	all.Wait()
	q := queue.New[string](client(), "q", queue.Options{})
	until(t, "every task is done", func() bool {
		none, _ := c.missing(n)
		return len(none) == 0
	})
	until(t, "the queue is empty", func() bool {
		st, err := q.Stats(context.Background())
		return err == nil && st.Length+st.Delayed+st.Dead == 0
	})
	_, twice := c.missing(n)
	t.Logf("%d tasks were done twice: their acknowledgement was not replicated, or their publication in doubt", twice)
	if role := b.Client().Info(context.Background(), "replication").Val(); !strings.Contains(role, "role:master") {
		t.Error("the replica was not promoted")
	}
}

// startCluster starts three primaries and a replica for each.
func startCluster(t *testing.T) []*server {
	t.Helper()
	all := make([]*server, 6)
	for i := range all {
		s := holdfasttest.Server(t, holdfasttest.WithArgs("--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
			"--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"))
		all[i] = &server{s, s.Client(), t}
	}
	ctx := testContext(t)
	for i, s := range all {
		if i < 3 {
			if err := s.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(all[0].Port)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range all {
		until(t, "all nodes know each other", func() bool {
			nodes := s.ClusterNodes(ctx).Val()
			return strings.Count(nodes, " connected") == 6 && !strings.Contains(nodes, "handshake")
		})
	}
	for i, s := range all[3:] {
		id := all[i].ClusterMyID(ctx).Val()
		until(t, "the replica follows", func() bool { return s.ClusterReplicate(ctx, id).Err() == nil })
	}
	for _, s := range all {
		until(t, "the cluster is up", func() bool {
			return strings.Contains(s.ClusterInfo(ctx).Val(), "cluster_state:ok") &&
				strings.Count(s.ClusterNodes(ctx).Val(), "slave") == 3
		})
	}
	for _, s := range all[3:] {
		until(t, "the replica is in step", func() bool {
			return strings.Contains(s.Info(ctx, "replication").Val(), "master_link_status:up")
		})
	}
	return all
}

func TestAFailoverInAClusterLosesNoReplicatedTask(t *testing.T) {
	watchGoroutines(t)
	nodes := startCluster(t)
	client := func() *redis.ClusterClient {
		var addrs []string
		for _, s := range nodes {
			addrs = append(addrs, s.Instance.Addr)
		}
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c := newTally()
	o := queue.WorkerOptions{Lease: 2 * time.Second, Logger: quiet}
	const parts = 6
	for range 2 {
		w := run(t, queue.NewWorker(queue.New[string](client(), "q", queue.Options{Partitions: parts}), c.handle, o))
		defer w.stop()
	}
	publisher := client()
	const n = 1500
	// The dead primary's partitions have no replica afterwards: for those the
	// publication's own answer has to do.
	all := load(t, func(i int) error {
		ctx := context.Background()
		stream := fmt.Sprintf("{q:%d}", i%parts)
		node, err := publisher.MasterForKey(ctx, stream)
		if err == nil {
			if node.Options().Addr == nodes[3].Instance.Addr {
				err = node.Do(ctx, "TASK.PUBLISH", stream, fmt.Sprintf("%q", fmt.Sprint(i))).Err()
			} else {
				err = publishReplicated(ctx, node, stream, i)
			}
		}
		if err != nil {
			publisher.ReloadState(ctx)
		}
		return err
	}, n)
	until(t, "some are done", func() bool { return c.len() >= n/4 })
	nodes[0].Kill()
	all.Wait()
	q := queue.New[string](client(), "q", queue.Options{Partitions: parts})
	until(t, "every task is done", func() bool {
		none, _ := c.missing(n)
		return len(none) == 0
	})
	until(t, "the queue is empty", func() bool {
		st, err := q.Stats(context.Background())
		return err == nil && st.Length+st.Delayed+st.Dead == 0
	})
	_, twice := c.missing(n)
	t.Logf("%d tasks were done twice: their acknowledgement was not replicated, or their publication in doubt", twice)
}
