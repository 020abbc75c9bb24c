package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
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

// allDone waits until all of n tasks are done and the queue is empty.
func allDone(t *testing.T, q *queue.Queue[string], c *tally, n int) {
	t.Helper()
	clienttest.Until(t, patience, "every task is done", func() bool {
		none, _ := c.missing(n)
		return len(none) == 0
	})
	clienttest.Until(t, patience, "the queue is empty", func() bool {
		st, err := q.Stats(context.Background())
		return err == nil && st.Length+st.Delayed+st.Dead == 0
	})
	_, twice := c.missing(n)
	t.Logf("%d tasks were done twice: their acknowledgement was not replicated, or their publication in doubt", twice)
}

func TestAFailoverBySentinelLosesNoReplicatedTask(t *testing.T) {
	clienttest.WatchGoroutines(t)
	r := holdfasttest.Sentinel(t, 1, 1)
	c := newTally()
	o := queue.WorkerOptions{Lease: 2 * time.Second, Logger: quiet}
	for range 2 {
		w := run(t, queue.NewWorker(queue.New[string](r.Client(), "q", queue.Options{}), c.handle, o))
		defer w.stop()
	}
	publisher := r.Client()
	const n = 1000
	var alone atomic.Bool // one server is left: nobody can confirm
	all := load(t, func(i int) error {
		if alone.Load() {
			return publisher.Do(context.Background(), "TASK.PUBLISH", "q", fmt.Sprintf("%q", fmt.Sprint(i))).Err()
		}
		return publishReplicated(context.Background(), publisher, "q", i)
	}, n)
	clienttest.Until(t, patience, "some are done", func() bool { return c.len() >= n/4 })
	r.Primary().Kill()
	alone.Store(true)
	all.Wait()
	allDone(t, queue.New[string](r.Client(), "q", queue.Options{}), c, n)
	if role := r.Nodes[1].Client().Info(context.Background(), "replication").Val(); !strings.Contains(role, "role:master") {
		t.Error("the replica was not promoted")
	}
}

func TestAFailoverInAClusterLosesNoReplicatedTask(t *testing.T) {
	clienttest.WatchGoroutines(t)
	r := holdfasttest.Cluster(t, 3, 1, holdfasttest.WithArgs("--cluster-replica-validity-factor", "0"))
	c := newTally()
	o := queue.WorkerOptions{Lease: 2 * time.Second, Logger: quiet}
	const parts = 6
	for range 2 {
		w := run(t, queue.NewWorker(queue.New[string](r.Client(), "q", queue.Options{Partitions: parts}), c.handle, o))
		defer w.stop()
	}
	publisher := r.Client()
	const n = 1500
	// The dead primary's partitions have no replica afterwards: for those the
	// publication's own answer has to do.
	all := load(t, func(i int) error {
		ctx := context.Background()
		stream := fmt.Sprintf("{q:%d}", i%parts)
		node, err := publisher.MasterForKey(ctx, stream)
		if err == nil {
			if node.Options().Addr == r.Nodes[3].Addr {
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
	clienttest.Until(t, patience, "some are done", func() bool { return c.len() >= n/4 })
	r.Nodes[0].Kill()
	all.Wait()
	allDone(t, queue.New[string](r.Client(), "q", queue.Options{Partitions: parts}), c, n)
}
