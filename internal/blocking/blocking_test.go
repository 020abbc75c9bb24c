package blocking_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/blocking"
	"holdfast/internal/clienttest"
	"holdfast/internal/redisserver"
)

// patience bounds every wait. It decides nothing: a test that needs it has failed.
const patience = 30 * time.Second

// bench is a server, and a pool of connections to it. What waits is BLPOP, where
// that will do.
type bench struct {
	*holdfasttest.Instance
	t    *testing.T
	rdb  *redis.Client // what is asked of the server beside
	pool *blocking.Pool
}

func start(t *testing.T, options ...holdfasttest.Option) *bench {
	t.Helper()
	clienttest.WatchGoroutines(t)
	s := holdfasttest.Server(t, append([]holdfasttest.Option{holdfasttest.WithModules()}, options...)...)
	b := &bench{Instance: s, t: t, rdb: s.Client()}
	b.pool = b.over(redis.NewClient(&redis.Options{Addr: s.Addr, DialerRetries: 1}))
	return b
}

// over is a pool over a client, which is closed with it.
func (b *bench) over(rdb redis.UniversalClient) *blocking.Pool {
	p := blocking.NewPool(rdb)
	b.t.Cleanup(func() { p.Close(); _ = rdb.Close() })
	return p
}

func (b *bench) context() context.Context {
	return clienttest.Context(b.t, patience)
}

func (b *bench) get(p *blocking.Pool, key string) *blocking.Conn {
	b.t.Helper()
	c, _, err := p.Get(b.context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	clienttest.Until(t, patience, what, so)
}

// parked waits until so many connections wait on a server, and returns the first.
func parked(t *testing.T, rdb *redis.Client, n int) (id string) {
	t.Helper()
	until(t, fmt.Sprintf("%d wait", n), func() bool {
		found := 0
		for line := range strings.SplitSeq(rdb.ClientList(context.Background()).Val(), "\n") {
			if strings.Contains(line, " flags=b ") {
				found++
				id, _, _ = strings.Cut(strings.TrimPrefix(line, "id="), " ")
			}
		}
		return found == n
	})
	return id
}

type outcome struct {
	reply any
	err   error
}

// wait sends a command that waits, beside the test.
func wait(ctx context.Context, c *blocking.Conn, within time.Duration, last []any, args ...any) <-chan outcome {
	got := make(chan outcome, 1)
	go func() {
		c.Waiting()
		reply, err := c.Do(ctx, within, last, args...)
		if err != nil {
			c.Close()
		} else {
			c.Put()
		}
		got <- outcome{reply, err}
	}()
	return got
}

func TestAReplyThatComesLateComes(t *testing.T) {
	b := start(t)
	got := wait(b.context(), b.get(b.pool, "l"), 0, nil, "BLPOP", "l", 0)
	parked(t, b.rdb, 1)
	b.rdb.RPush(b.context(), "l", "x")
	if o := <-got; o.err != nil || fmt.Sprint(o.reply) != "[l x]" {
		t.Error(o)
	}
	if _, used, _ := b.pool.Get(b.context(), "l"); !used {
		t.Error("the connection was not kept")
	}
}

// A lock is granted to a wait that is called off in that moment: what is sent behind
// it gives it back, or the module does, for its client is gone. (That is the module's
// promise: a BLPOP may be served and its client be gone before what it sent is read.)
func TestAWaitThatIsCalledOffIsTakenBackOrUndone(t *testing.T) {
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, holdfasttest.WithModules(modules...))
	calledOff := 0
	for i := range 300 {
		name := fmt.Sprint("lock", i)
		b.rdb.Do(b.context(), "LOCK.ACQUIRE", name, "a", 600000)
		ctx, cancel := context.WithCancel(b.context())
		got := wait(ctx, b.get(b.pool, name), 0, []any{"LOCK.RELEASE", name, "b"}, "LOCK.ACQUIRE", name, "b", 600000, "BLOCK", 0)
		parked(t, b.rdb, 1)
		released := make(chan struct{})
		go func() { defer close(released); b.rdb.Do(context.Background(), "LOCK.RELEASE", name, "a") }()
		time.Sleep(time.Duration(rand.N(200)) * time.Microsecond)
		cancel()
		o := <-got
		<-released
		if o.err == nil { // granted, before it was called off
			continue
		}
		calledOff++
		if !errors.Is(o.err, context.Canceled) {
			t.Fatal(o.err)
		}
		until(t, "the lock is free", func() bool { return b.rdb.Exists(b.context(), name).Val() == 0 })
	}
	t.Logf("%d of 300 were called off", calledOff)
	parked(t, b.rdb, 0)
}

func TestAReplyThatTakesTooLongIsCalledOff(t *testing.T) {
	b := start(t)
	for _, earlier := range []bool{false, true} { // the client looks after one that was kept
		c := b.get(b.pool, "l")
		if earlier {
			if _, err := c.Do(b.context(), 300*time.Millisecond, nil, "PING"); err != nil {
				t.Fatal(err)
			}
			c.Put()
			c = b.get(b.pool, "l")
		}
		o := <-wait(b.context(), c, 300*time.Millisecond, nil, "BLPOP", "l", 0)
		if o.err == nil || !blocking.Passes(o.err) || blocking.Refused(o.err) {
			t.Error(o)
		}
		parked(t, b.rdb, 0)
	}
}

func TestWhatEndsAWaitOnTheServerPasses(t *testing.T) {
	b := start(t)
	for _, c := range []struct {
		end     func(id string) error
		refused bool // the server said so: nothing was carried out
	}{
		{func(id string) error { return b.rdb.ClientKillByFilter(b.context(), "ID", id).Err() }, false},
		{func(id string) error { return b.rdb.Do(b.context(), "CLIENT", "UNBLOCK", id, "ERROR").Err() }, true},
	} {
		got := wait(b.context(), b.get(b.pool, "l"), 0, nil, "BLPOP", "l", 0)
		if err := c.end(parked(t, b.rdb, 1)); err != nil {
			t.Fatal(err)
		}
		if o := <-got; !blocking.Passes(o.err) || blocking.Refused(o.err) != c.refused {
			t.Error(o.err)
		}
	}
	got := wait(b.context(), b.get(b.pool, "l"), 0, nil, "BLPOP", "l", 0)
	parked(t, b.rdb, 1)
	b.Kill()
	if o := <-got; !blocking.Passes(o.err) {
		t.Error(o.err)
	}
	if o := <-wait(b.context(), b.get(b.pool, "l"), 0, nil, "BLPOP", "l", 0); !blocking.Passes(o.err) {
		t.Errorf("a dead server: %v", o.err)
	}
}

func TestAServerThatLoadsItsDataPasses(t *testing.T) {
	b := start(t, holdfasttest.WithArgs("--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"))
	b.rdb.Do(b.context(), "DEBUG", "POPULATE", 300, "key", 1024)
	if err := b.rdb.Save(b.context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.Kill()
	up := make(chan struct{})
	go func() { defer close(up); b.Restart() }()
	loading := false
	until(t, "the server answers", func() bool {
		c := b.get(b.pool, "l")
		_, err := c.Do(b.context(), time.Second, nil, "LLEN", "l")
		c.Close()
		if err != nil && !blocking.Passes(err) {
			t.Fatal(err)
		}
		loading = loading || err != nil && strings.HasPrefix(err.Error(), "LOADING")
		return err == nil
	})
	<-up
	if !loading {
		t.Error("nobody was told LOADING: this test tests nothing")
	}
}

func TestWhatIsWrongDoesNotPass(t *testing.T) {
	b := start(t)
	b.rdb.Set(b.context(), "s", "x", 0)
	for _, args := range [][]any{{"BLPOP", "s", 0}, {"NO.SUCH.COMMAND", "s"}, {"BLPOP"}} {
		if o := <-wait(b.context(), b.get(b.pool, "s"), 0, nil, args...); o.err == nil || blocking.Passes(o.err) {
			t.Error(args, o)
		}
	}
	ctx, cancel := context.WithCancel(b.context())
	cancel()
	if _, err := b.get(b.pool, "s").Do(ctx, 0, nil, "PING"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestThePoolLosesNeitherConnectionsNorSlots(t *testing.T) {
	b := start(t)
	open := func() int { return strings.Count(b.rdb.ClientList(b.context()).Val(), "\n") }
	before := open()
	for i := range 300 { // more than there are slots
		c := b.get(b.pool, "l")
		switch i % 5 {
		case 0:
			c.Close()
		case 1:
			c.Put()
		case 2:
			<-wait(b.context(), c, 0, nil, "BLPOP", "l", "0.001")
		case 3:
			ctx, cancel := context.WithCancel(b.context())
			got := wait(ctx, c, 0, nil, "BLPOP", "l", 0)
			cancel()
			<-got
		case 4:
			<-wait(b.context(), c, 0, nil, "NO.SUCH.COMMAND")
		}
	}
	b.pool.Close()
	until(t, "all connections are closed", func() bool { return open() == before })
	c := b.get(b.pool, "l") // after Close none is kept
	c.Put()
	if _, used, _ := b.pool.Get(b.context(), "l"); used {
		t.Error("a closed pool keeps connections")
	}
}
