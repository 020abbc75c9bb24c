package e2e

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// Operators kill and unblock clients, pause them, flush and swap databases, fill
// the memory, save, and make the replica the primary, all while clients use the
// modules and some leave in the middle of a wait. Both servers live, nobody is left
// waiting, the two agree, and the modules unload.
func TestWhateverOperatorsDoNobodyIsLeftWaiting(t *testing.T) {
	steps := 150
	if testing.Short() {
		steps = 30
	}
	operate(t, seeded(t), steps)
}

func operate(t *testing.T, seed uint64, steps int) tally {
	args := holdfasttest.WithArgs("--appendonly", "yes", "--hz", "100")
	a := holdfasttest.Server(t, args)
	b := holdfasttest.Server(t, args, holdfasttest.WithArgs("--replicaof", "127.0.0.1 "+strconv.Itoa(a.Port)))
	nodes := []*redis.Client{a.Client(), b.Client()}
	awaitLink(t, nodes[1])

	g := newGarbage(t, nodes[0])
	var done atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 16 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					g.visit([]string{a.Addr, b.Addr}[r.IntN(2)], r, &done)
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(seed, 1<<32))
	for step := 0; step < steps && !t.Failed(); step++ {
		operator(nodes[r.IntN(2)], r)
		// The next when the clients have done something with that.
		for before, deadline := done.Load(), time.Now().Add(30*time.Second); done.Load() < before+100; {
			if time.Now().After(deadline) {
				t.Fatal("no client gets anything done")
			}
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	clients.Wait()

	t.Log(strings.Count(a.Log()+b.Log(), " MODE enabled"), "promotions")
	for _, c := range nodes { // who serves, serves everyone again
		c.Do(ctx, "FAILOVER", "ABORT")
		c.Do(ctx, "CLIENT", "UNPAUSE")
		c.ConfigSet(ctx, "maxmemory", "0")
	}
	nodes[0].ReplicaOf(ctx, "NO", "ONE")
	nodes[1].ReplicaOf(ctx, "127.0.0.1", strconv.Itoa(a.Port))
	awaitLink(t, nodes[1])
	for _, c := range nodes {
		await(t, "nobody to wait", func() bool {
			info := c.InfoMap(ctx, "clients", "distlock", "cachelock", "taskqueue").Val()
			return info["Clients"]["blocked_clients"] == "0" && info["distlock"]["distlock_waiting"] == "0" &&
				info["cachelock"]["cachelock_waiting"] == "0" && info["taskqueue"]["taskqueue_waiting"] == "0"
		})
	}
	persistAll(t, nodes[0])
	awaitSameDigest(t, nodes[0], nodes[1])
	nodes[0].FlushAll(ctx) // nothing is due any more that a timer would be set for
	awaitSameDigest(t, nodes[0], nodes[1])
	for _, c := range nodes {
		for _, module := range []string{"cachelock", "taskqueue", "distlock"} {
			unload(t, c, module)
		}
	}
	return tally{operations: int(done.Load()), kills: steps, histories: 1}
}

// visit is a client's stay at a server: some commands, one at a time, until it
// leaves, now and then without waiting for its reply.
func (g *garbage) visit(addr string, r *rand.Rand, done *atomic.Int64) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for range 1 + r.IntN(100) {
		words := g.likely(r)
		switch r.IntN(10) {
		case 0:
			words = append([]string{"EVAL", "return redis.pcall(unpack(ARGV))", "0"}, words...)
		case 1:
			words = []string{"SELECT", strconv.Itoa(r.IntN(2))}
		}
		writeCommand(out, words...)
		if out.Flush() != nil || r.IntN(20) == 0 {
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if skipReply(in) != nil {
			return
		}
		done.Add(1)
	}
}

// operator does one thing that an operator may do. What it answers is of no
// interest: a replica refuses some of it.
func operator(c *redis.Client, r *rand.Rand) {
	switch r.IntN(11) {
	case 0:
		c.Do(ctx, "CLIENT", "KILL", "TYPE", "normal")
	case 1:
		c.Do(ctx, "CLIENT", "PAUSE", 1+r.IntN(20), []string{"WRITE", "ALL"}[r.IntN(2)])
	case 2:
		c.FlushDB(ctx)
	case 3:
		c.Do(ctx, "SWAPDB", 0, 1)
	case 4:
		c.ConfigSet(ctx, []string{"distlock", "cachelock"}[r.IntN(2)]+".max-waiters", []string{"0", "3", "10000"}[r.IntN(3)])
	case 5:
		c.ConfigSet(ctx, "maxmemory-policy", []string{"noeviction", "allkeys-lru", "volatile-ttl"}[r.IntN(3)])
	case 6:
		c.ConfigSet(ctx, "maxmemory", strconv.Itoa(r.IntN(3)/2))
	case 7:
		c.Do(ctx, []any{"BGSAVE", "BGREWRITEAOF"}[r.IntN(2)])
	case 8:
		c.Do(ctx, "FAILOVER", "TIMEOUT", 1000)
	case 9:
		unblockSome(c, r)
	case 10:
		c.Info(ctx, "everything")
	}
}

// unblockSome ends some waits. A server ends, by a defect of its own, when a client
// is unblocked that a pause keeps waiting, whatever it sent: so pauses end in the
// same step.
func unblockSome(c *redis.Client, r *rand.Rand) {
	for line := range strings.Lines(c.ClientList(ctx).Val()) {
		if !strings.Contains(line, " flags=b ") || r.IntN(3) > 0 {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		_, _ = c.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.Do(ctx, "FAILOVER", "ABORT")
			tx.Do(ctx, "CLIENT", "UNPAUSE")
			tx.Do(ctx, "CLIENT", "UNBLOCK", id, fmt.Sprint([]any{"TIMEOUT", "ERROR"}[r.IntN(2)]))
			return nil
		})
	}
}
