package blocking_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/blocking"
	"holdfast/internal/clienttest"
)

// soon is how long a call may outlive its context on a busy machine.
const soon = 2 * time.Second

// throughProxy is a pool whose connections lead through a proxy.
func throughProxy(b *bench) (*clienttest.Proxy, *redis.Client, *blocking.Pool) {
	p := clienttest.NewProxy(b.t, b.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr})
	return p, rdb, b.over(rdb)
}

// prompt sends PING over a connection whose Do returns when ctx ends.
func prompt(ctx context.Context, c *blocking.Conn, within time.Duration) error {
	c.Late = func(any) {}
	defer c.Close()
	_, err := c.Do(ctx, within, nil, "PING")
	return err
}

func TestNoCallOutlivesItsContext(t *testing.T) {
	b := start(t)
	proxy, _, pool := throughProxy(b)
	kept := b.get(pool, "k")
	if _, err := kept.Do(b.context(), time.Second, nil, "PING"); err != nil {
		t.Fatal(err)
	}
	used := b.get(pool, "k")
	if _, err := used.Do(b.context(), 0, nil, "PING"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Send(b.context(), "PING"); err != nil {
		t.Fatal(err)
	}
	proxy.Freeze()
	for name, call := range map[string]func(context.Context) error{
		"a new connection":  func(ctx context.Context) error { return prompt(ctx, b.get(pool, "k"), 0) },
		"a kept connection": func(ctx context.Context) error { return prompt(ctx, used, 0) },
		"with a bound":      func(ctx context.Context) error { return prompt(ctx, kept, time.Minute) },
		"Pool.Do":           func(ctx context.Context) error { _, err := pool.Do(ctx, time.Minute, "k", "PING"); return err },
		"Send":              func(ctx context.Context) error { _, err := pool.Send(ctx, "PING"); return err },
		"SendForText":       func(ctx context.Context) error { _, _, err := pool.SendForText(ctx, "PING"); return err },
		"SendForTexts":      func(ctx context.Context) error { _, err := pool.SendForTexts(ctx, "KEYS", "*"); return err },
		"SendAll":           func(ctx context.Context) error { _, errs := pool.SendAll(ctx, [][]any{{"PING"}}); return errs[0] },
	} {
		ctx, cancel := context.WithTimeout(b.context(), 50*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		if took := time.Since(began); took > soon || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v after %v", name, err, took)
		}
		cancel()
	}
	began := time.Now()
	if _, err := pool.Do(b.context(), 50*time.Millisecond, "k", "PING"); !blocking.Passes(err) || time.Since(began) > soon {
		t.Errorf("a bound of its own: %v after %v", err, time.Since(began))
	}
	began = time.Now()
	pool.Close()
	if took := time.Since(began); took > blocking.CloseTimeout+soon {
		t.Errorf("Close took %v", took)
	}
}

// A reply that comes after its command was called off is what was taken or granted:
// its owner must hear of it.
func TestAReplyThatComesTooLateIsNotLost(t *testing.T) {
	b := start(t)
	proxy, _, pool := throughProxy(b)
	for _, background := range []bool{false, true} {
		c := b.get(pool, "l")
		late := make(chan any, 1)
		if background {
			c.Late = func(reply any) { late <- reply }
		}
		ctx, cancel := context.WithCancel(b.context())
		got := wait(ctx, c, 0, nil, "BLPOP", "l", 0)
		parked(t, b.rdb, 1)
		proxy.Freeze()
		b.rdb.RPush(b.context(), "l", "x") // its reply is on its way
		cancel()
		if background {
			if o := <-got; !errors.Is(o.err, context.Canceled) || o.reply != nil {
				t.Error(o)
			}
			proxy.Thaw()
			if reply := <-late; fmt.Sprint(reply) != "[l x]" {
				t.Error("late:", reply)
			}
			continue
		}
		proxy.Thaw()
		if o := <-got; !errors.Is(o.err, context.Canceled) || fmt.Sprint(o.reply) != "[l x]" {
			t.Error(o)
		}
	}
}

// A cluster whose nodes are silent has not even told the client its slots.
func TestNoCallToASilentClusterOutlivesItsContext(t *testing.T) {
	b := start(t)
	proxy := clienttest.NewProxy(t, b.Addr)
	proxy.Freeze()
	pool := b.over(redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{proxy.Addr}, ReadTimeout: time.Second, DialTimeout: time.Second, MaxRetries: -1}))
	for name, call := range map[string]func(context.Context) error{
		"Get":  func(ctx context.Context) error { _, _, err := pool.Get(ctx, "k"); return err },
		"Send": func(ctx context.Context) error { _, err := pool.Send(ctx, "GET", "k"); return err },
		"Do":   func(ctx context.Context) error { _, err := pool.Do(ctx, time.Minute, "k", "GET", "k"); return err },
	} {
		ctx, cancel := context.WithTimeout(b.context(), 50*time.Millisecond)
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > soon {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
		cancel()
	}
	proxy.Cut()
}

// A NAT forgets connections that are not used for long.
func TestAStaleConnectionCostsOneBoundAndNoMore(t *testing.T) {
	b := start(t)
	proxy, _, pool := throughProxy(b)
	for range 3 { // several are kept
		c := b.get(pool, "k")
		defer c.Put()
		if _, err := c.Do(b.context(), time.Second, nil, "PING"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := pool.Do(b.context(), time.Second, "k", "PING"); err != nil {
			t.Fatal(err)
		}
	}
	proxy.Forget()
	if _, err := pool.Do(b.context(), 50*time.Millisecond, "k", "PING"); !blocking.Passes(err) {
		t.Errorf("a connection that was forgotten answered: %v", err)
	}
	if _, err := pool.Do(b.context(), time.Second, "k", "PING"); err != nil {
		t.Errorf("another stale connection was taken: %v", err)
	}
}

func TestAKeptConnectionThatTheServerClosedIsNotUsed(t *testing.T) {
	b := start(t)
	for range 10 {
		if _, err := b.pool.Do(b.context(), time.Second, "k", "PING"); err != nil {
			t.Fatal(err)
		}
		b.rdb.Do(b.context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
}

// seen is a hook as tracing adds it: it sees each command, and its end.
type seen struct{ begun, ended atomic.Int32 }

func (*seen) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *seen) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "blpop" {
			return next(ctx, cmd)
		}
		s.begun.Add(1)
		err := next(ctx, cmd)
		s.ended.Add(1)
		return err
	}
}

func (*seen) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestTheHooksOfTheCallersClientSeeCommandsThatWait(t *testing.T) {
	b := start(t)
	check := func(t *testing.T, rdb redis.UniversalClient, s *seen, pool *blocking.Pool, server *redis.Client) {
		got := wait(b.context(), b.get(pool, "l"), 0, nil, "BLPOP", "l", 0)
		parked(t, server, 1)
		if s.begun.Load() != 1 || s.ended.Load() != 0 {
			t.Errorf("the hook saw %d begin and %d end", s.begun.Load(), s.ended.Load())
		}
		rdb.RPush(b.context(), "l", "x")
		if o := <-got; o.err != nil || fmt.Sprint(o.reply) != "[l x]" || s.ended.Load() != 1 {
			t.Error(o)
		}
	}
	t.Run("one server", func(t *testing.T) {
		s, rdb := &seen{}, redis.NewClient(&redis.Options{Addr: b.Addr})
		pool := b.over(rdb)
		rdb.AddHook(s) // after the pool was made
		check(t, rdb, s, pool, b.rdb)
	})
	t.Run("a cluster", func(t *testing.T) {
		s, c := &seen{}, holdfasttest.Cluster(t, 1, 0, holdfasttest.WithModules())
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr}})
		rdb.OnNewNode(func(node *redis.Client) { node.AddHook(s) })
		check(t, rdb, s, b.over(rdb), c.Nodes[0].Client())
	})
}

func TestErrorsThatPassAreTold(t *testing.T) {
	for text, passes := range map[string]bool{
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.": true,
		"MISCONF Errors writing to the AOF file: No space left on device":                                  true,
		"OOM command not allowed when used memory > 'maxmemory'.":                                          true,
		"NOREPLICAS Not enough good replicas to write.":                                                    true,
		"READONLY You can't write against a read only replica.":                                            true,
		"REDIRECT 127.0.0.1:7000":                                                                          true,
		"LOADING Redis is loading the dataset in memory":                                                   true,
		"BUSY Redis is busy running a script.":                                                             true,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":                 true,
		"CLUSTERDOWN Hash slot not served":                                                                 true,
		"TRYAGAIN Multiple keys request during rehashing of slot":                                          true,
		"ERR max number of clients reached":                                                                true,
		"ERR max number of clients + cluster connections reached":                                          true,
		"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)":     true,
		"BUSYGROUP Consumer Group name already exists":                                                     false,
		"BUSYKEY Target key name already exists.":                                                          false,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                                false,
		"NOPERM User default has no permissions":                                                           false,
		"WRONGPASS invalid username-password pair":                                                         false,
		"NOAUTH Authentication required.":                                                                  false,
		"CROSSSLOT Keys in request don't hash to the same slot":                                            false,
		"ERR unknown command 'LOCK.ACQUIRE'":                                                               false,
		"QUEUEFULL too many wait":                                                                          false,
		"DEADLOCK a waits for b waits for a":                                                               false,
	} {
		if got := blocking.Passes(blocking.ServerError(text)); got != passes {
			t.Errorf("%q passes: %v", text, got)
		}
	}
}

// A server that could not save refuses writes until it can.
func TestAServerThatCannotSavePasses(t *testing.T) {
	b := start(t)
	clienttest.RefuseWrites(t, b.Instance)
	_, err := b.pool.Do(b.context(), time.Second, "k", "SET", "k", "w")
	if !blocking.Passes(err) || !blocking.Refused(err) {
		t.Errorf("a server that cannot save: %v", err)
	}
	clienttest.AllowWrites(t, b.Instance)
	if _, err = b.pool.Do(b.context(), time.Second, "k", "SET", "k", "w"); err != nil {
		t.Errorf("when it can again: %v", err)
	}
}
