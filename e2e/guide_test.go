package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/transcript"
)

// The sessions that the guide shows are played by
// TestWhatTheDocsShowIsWhatAServerSays. Here is the same way of working as
// programs go it, and what the guide says of many callers at once.

// caller talks to a server for a test and fails it on any error.
type caller struct {
	t *testing.T
	c *redis.Client
}

func newCaller(t *testing.T) caller { return caller{t, holdfasttest.Server(t).Client()} }

// another is somebody else, on a connection of their own.
func (c caller) another() caller {
	other := redis.NewClient(c.c.Options())
	c.t.Cleanup(func() { _ = other.Close() })
	return caller{c.t, other}
}

// do sends a command, written as in the guide, and returns its reply.
func (c caller) do(format string, values ...any) any {
	c.t.Helper()
	words, err := transcript.Split(fmt.Sprintf(format, values...))
	if err != nil {
		c.t.Fatal(err)
	}
	args := make([]any, len(words))
	for i, w := range words {
		args[i] = w
	}
	v, err := c.c.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		c.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// want fails the test unless the command answers so.
func (c caller) want(want any, format string, values ...any) {
	c.t.Helper()
	if got := c.do(format, values...); fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Fatalf(format+" answers %v, not %v", append(values, got, want)...)
	}
}

// delivered is a task as TASK.CONSUME gives it.
type delivered struct {
	id     any
	fields []any
}

// deliveredIn are the tasks of the one stream in a reply of TASK.CONSUME.
func deliveredIn(reply any) (all []delivered) {
	for _, e := range reply.([]any)[0].([]any)[1].([]any) {
		e := e.([]any)
		all = append(all, delivered{e[0], e[1].([]any)})
	}
	return all
}

func TestTheCacheHasOneLoaderUntilTheValueIsThere(t *testing.T) {
	c := newCaller(t)
	other := c.another()
	c.want("LOAD", "CACHE.LOCK user:1234 5000 10000")
	other.want("WAIT", "CACHE.LOCK user:1234 5000 10000")
	c.want("OK", `CACHE.SET user:1234 "John Doe, age 30" 60000`)
	other.want("John Doe, age 30", "CACHE.GET user:1234")
	c.want("HIT", "CACHE.LOCK user:1234 5000 10000")
	c.want("<nil>", "CACHE.GET user:5678")
	if ttl := c.c.PTTL(context.Background(), "user:1234").Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("the value lives for %v", ttl)
	}
}

func TestATaskCarriesPayloadTimestampAndRetriesInThisOrder(t *testing.T) {
	c := newCaller(t)
	c.want("OK", "XGROUP CREATE tasks workers $ MKSTREAM")
	before := time.Now().Unix()
	var ids []any
	for _, payload := range []string{"one", "two", "three"} {
		ids = append(ids, c.do("TASK.PUBLISH tasks %s", payload))
	}
	c.want(3, "XLEN tasks")
	reply := c.do("TASK.CONSUME workers consumer1 tasks 10 5000")
	if stream := reply.([]any)[0].([]any)[0]; stream != "tasks" {
		t.Errorf("the tasks are said to be of %v", stream)
	}
	tasks := deliveredIn(reply)
	if len(tasks) != 3 {
		t.Fatal(tasks)
	}
	for i, task := range tasks {
		f := task.fields
		if len(f) != 6 {
			t.Fatalf("%+v", task)
		}
		want := []any{"payload", []string{"one", "two", "three"}[i], "timestamp", f[3], "retry_count", "0"}
		if task.id != ids[i] || !slices.Equal(f, want) {
			t.Errorf("%+v, published as %v", task, ids[i])
		}
		var seconds int64
		if _, err := fmt.Sscan(f[3].(string), &seconds); err != nil || seconds < before || seconds > time.Now().Unix() {
			t.Errorf("published at %v", f[3])
		}
		c.want(1, "TASK.ACK tasks workers %s", task.id)
	}
	c.want(0, "TASK.ACK tasks workers %s", tasks[0].id)
}

func TestAFailedTaskGoesToRetryAndAtLastToTheDeadLetters(t *testing.T) {
	c := newCaller(t)
	c.do("XGROUP CREATE tasks workers $ MKSTREAM")
	id := c.do("TASK.PUBLISH tasks p")
	c.want("OK", "TASK.RETRY tasks %s p 0 retry_tasks dead_tasks 3", id)
	c.want(1, "XLEN retry_tasks")
	c.want(0, "EXISTS dead_tasks")
	if f := c.c.XRange(context.Background(), "retry_tasks", "-", "+").Val()[0].Values; f["payload"] != "p" || f["retry_count"] != "1" {
		t.Errorf("retried as %v", f)
	}
	c.want("OK", "TASK.RETRY tasks %s p 3 retry_tasks dead_tasks 3", id)
	c.want(1, "XLEN retry_tasks")
	c.want(1, "XLEN dead_tasks")
	if f := c.c.XRange(context.Background(), "dead_tasks", "-", "+").Val()[0].Values; f["payload"] != "p" || f["retry_count"] != "3" {
		t.Errorf("buried as %v", f)
	}
}

func TestALockIsHeldByOneUntilItsOwnerLetsGo(t *testing.T) {
	c := newCaller(t)
	other := c.another()
	c.want(1, "LOCK.ACQUIRE report worker-1 30000")
	other.want(0, "LOCK.ACQUIRE report worker-2 30000")
	c.want(0, "LOCK.ACQUIRE report worker-1 30000")
	c.want(1, "LOCK.EXTEND report worker-1 60000")
	if ttl := c.c.PTTL(context.Background(), "report").Val(); ttl <= 30*time.Second {
		t.Errorf("extended, the lock lives for %v", ttl)
	}
	other.want(0, "LOCK.RELEASE report worker-2")
	c.want(1, "LOCK.RELEASE report worker-1")
	c.want(0, "LOCK.RELEASE report worker-1")
	other.want(1, "LOCK.ACQUIRE report worker-2 30000")
}

func TestTheThreeWorkTogether(t *testing.T) {
	c := newCaller(t)
	c.do("XGROUP CREATE tasks workers $ MKSTREAM")
	c.want("<nil>", "CACHE.GET product:42")
	c.want("LOAD", "CACHE.LOCK product:42 5000 10000")
	id := c.do(`TASK.PUBLISH tasks "index product:42"`)
	c.want("OK", "CACHE.SET product:42 <h1>Chair</h1> 60000")

	c.want(1, "LOCK.ACQUIRE index:product:42 worker-1 10000")
	tasks := deliveredIn(c.do("TASK.CONSUME workers worker-1 tasks 1 5000"))
	if len(tasks) != 1 || tasks[0].id != id {
		t.Fatalf("%v, published was %v", tasks, id)
	}
	c.want(1, "TASK.ACK tasks workers %s", tasks[0].id)
	c.want(1, "LOCK.RELEASE index:product:42 worker-1")
	c.want("<h1>Chair</h1>", "CACHE.GET product:42")
}

const crowd = 100

// atOnce lets a crowd do something at the same moment and collects what each
// says. Each has its own connection, open beforehand.
func atOnce[T any](t *testing.T, s *holdfasttest.Instance, do func(c *redis.Conn, i int) T) []T {
	t.Helper()
	c := s.Client()
	results := make([]T, crowd)
	gate := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range crowd {
		ready.Add(1)
		done.Go(func() {
			conn := c.Conn()
			defer conn.Close()
			err := conn.Ping(context.Background()).Err()
			ready.Done()
			<-gate
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = do(conn, i)
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
	return results
}

func TestOfManyCallersThatMissOneIsToldToLoad(t *testing.T) {
	s := holdfasttest.Server(t)
	ctx := context.Background()
	var loads, waits int
	for _, said := range atOnce(t, s, func(c *redis.Conn, i int) string {
		said, err := c.Do(ctx, "CACHE.LOCK", "user:1234", 60000, 60000).Text()
		if err != nil {
			t.Error(err)
		}
		return said
	}) {
		switch said {
		case "LOAD":
			loads++
		case "WAIT":
			waits++
		}
	}
	if loads != 1 || waits != crowd-1 {
		t.Errorf("%d loads and %d waits of %d callers", loads, waits, crowd)
	}
}

// TestManyCallersCauseOneLoad goes the whole way of the guide: ask, load or look
// again, and get the value.
func TestManyCallersCauseOneLoad(t *testing.T) {
	s := holdfasttest.Server(t)
	ctx := context.Background()
	var mu sync.Mutex
	loads := 0
	values := atOnce(t, s, func(c *redis.Conn, i int) string {
		for {
			said, err := c.Do(ctx, "CACHE.LOCK", "user:1234", 60000, 60000).Text()
			if err != nil {
				t.Error(err)
				return ""
			}
			switch said {
			case "HIT":
				v, err := c.Do(ctx, "CACHE.GET", "user:1234").Text()
				if err != nil {
					t.Error(err)
				}
				return v
			case "LOAD":
				mu.Lock()
				loads++
				mu.Unlock()
				v := fmt.Sprint("loaded by ", i)
				if err := c.Do(ctx, "CACHE.SET", "user:1234", v, 60000).Err(); err != nil {
					t.Error(err)
				}
				return v
			}
		}
	})
	if loads != 1 {
		t.Errorf("%d loads", loads)
	}
	for _, v := range values {
		if v != values[0] {
			t.Fatalf("some saw %q, some %q", values[0], v)
		}
	}
}

func TestOfManyWhoTryOneGetsTheLock(t *testing.T) {
	s := holdfasttest.Server(t)
	ctx := context.Background()
	got := int64(0)
	for _, n := range atOnce(t, s, func(c *redis.Conn, i int) int64 {
		n, err := c.Do(ctx, "LOCK.ACQUIRE", "report", fmt.Sprint("worker-", i), 60000).Int64()
		if err != nil {
			t.Error(err)
		}
		return n
	}) {
		got += n
	}
	if got != 1 {
		t.Errorf("%d hold the lock", got)
	}
}

func TestConsumersShareTheWorkWithoutOverlap(t *testing.T) {
	s := holdfasttest.Server(t)
	c := caller{t, s.Client()}
	ctx := context.Background()
	c.do("XGROUP CREATE tasks workers $ MKSTREAM")

	// Each consumer waits before there is any task, then takes what it gets one
	// by one until it is told to stop.
	const tasks, consumers = 300, 10
	type taken struct {
		consumer int
		payload  string
	}
	seen := make(chan taken, tasks)
	var wg sync.WaitGroup
	for i := range consumers {
		wg.Go(func() {
			conn := s.Client().Conn()
			defer conn.Close()
			for {
				v, err := conn.Do(ctx, "TASK.CONSUME", "workers", fmt.Sprint("consumer", i), "tasks", 1, 0).Result()
				if err != nil {
					t.Error(err)
					return
				}
				task := deliveredIn(v)[0]
				payload := task.fields[1].(string)
				if n, err := conn.Do(ctx, "TASK.ACK", "tasks", "workers", task.id).Int(); n != 1 || err != nil {
					t.Errorf("ack of %v: %d, %v", task.id, n, err)
				}
				if payload == "stop" {
					return
				}
				seen <- taken{i, payload}
			}
		})
	}
	waitForBlocked(t, c.c, consumers)
	for i := range tasks {
		c.do("TASK.PUBLISH tasks %d", i)
	}
	for range consumers {
		c.do("TASK.PUBLISH tasks stop")
	}
	wg.Wait()
	close(seen)
	by, who := map[string]int{}, map[int]bool{}
	for s := range seen {
		by[s.payload]++
		who[s.consumer] = true
	}
	for i := range tasks {
		if n := by[fmt.Sprint(i)]; n != 1 {
			t.Errorf("task %d was taken %d times", i, n)
		}
	}
	if len(who) != consumers {
		t.Errorf("%d of %d consumers got work", len(who), consumers)
	}
	if p := c.c.XPending(ctx, "tasks", "workers").Val(); p.Count != 0 {
		t.Errorf("%d tasks are pending", p.Count)
	}
}

// waitForBlocked returns when so many clients are blocked in the server.
func waitForBlocked(t *testing.T, c *redis.Client, n int) {
	t.Helper()
	want := fmt.Sprint(n)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		blocked := c.InfoMap(context.Background(), "clients").Val()["Clients"]["blocked_clients"]
		if blocked == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s clients are blocked, not %s", blocked, want)
		}
	}
}
