package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	goredis "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// locking is a way to hold a lock by name for as long as hold runs. Where keep is
// true the lock is left to expire. It answers false if the lock was not to be had
// in time.
type locking func(ctx context.Context, name string, lease time.Duration, keep bool, hold func()) (bool, error)

func lockings(c *redis.Client) map[string]locking {
	locker, rs := redislock.New(c), redsync.New(goredis.NewPool(c))
	plain := redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)
	return map[string]locking{
		"redislock": func(ctx context.Context, name string, lease time.Duration, keep bool, hold func()) (bool, error) {
			l, err := locker.Obtain(ctx, name, lease, &redislock.Options{RetryStrategy: redislock.LimitRetry(redislock.LinearBackoff(3*time.Millisecond), 300)})
			if err != nil {
				return false, ignore(err, redislock.ErrNotObtained, context.DeadlineExceeded)
			}
			hold()
			if keep {
				return true, nil
			}
			return true, l.Release(ctx)
		},
		"redsync": func(ctx context.Context, name string, lease time.Duration, keep bool, hold func()) (bool, error) {
			m := rs.NewMutex(name, redsync.WithExpiry(lease), redsync.WithTries(300), redsync.WithRetryDelay(3*time.Millisecond))
			if err := m.LockContext(ctx); err != nil {
				return false, nil
			}
			hold()
			if keep {
				return true, nil
			}
			ok, err := m.UnlockContext(ctx)
			if err == nil && !ok {
				err = fmt.Errorf("redsync did not hold %s", name)
			}
			return true, err
		},
		"SET NX PX": func(ctx context.Context, name string, lease time.Duration, keep bool, hold func()) (bool, error) {
			value := strconv.FormatUint(rand.Uint64(), 36)
			for range 300 {
				ok, err := c.SetNX(ctx, name, value, lease).Result() //nolint:staticcheck // what older code calls
				if err != nil {
					return false, err
				}
				if ok {
					hold()
					if keep {
						return true, nil
					}
					return true, plain.Run(ctx, c, []string{name}, value).Err()
				}
				time.Sleep(3 * time.Millisecond)
			}
			return false, nil
		},
		"holdfast": func(ctx context.Context, name string, lease time.Duration, keep bool, hold func()) (bool, error) {
			owner := strconv.FormatUint(rand.Uint64(), 36)
			n, err := c.Do(ctx, "LOCK.ACQUIRE", name, owner, lease.Milliseconds(), "BLOCK", 1000).Int()
			if err != nil || n == 0 {
				return false, err
			}
			hold()
			if keep {
				return true, nil
			}
			released, err := c.Do(ctx, "LOCK.RELEASE", name, owner).Int()
			if err == nil && released != 1 {
				err = fmt.Errorf("holdfast did not hold %s", name)
			}
			return true, err
		},
	}
}

// ignore takes away the errors that say that the lock was not to be had in time;
// redislock tries no longer than the lease it asks for.
func ignore(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// Every library and Holdfast want the same fifty locks. The server itself counts who
// is inside, and that is never more than one. HOLDFAST_SOAK=30s makes it longer.
func TestTheLocksOfOtherLibrariesAndOursExcludeEachOther(t *testing.T) {
	for_, err := time.ParseDuration(os.Getenv("HOLDFAST_SOAK"))
	if err != nil {
		for_ = 3 * time.Second
	}
	s := holdfasttest.Server(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr, PoolSize: 200, ReadTimeout: 10 * time.Second})
	defer c.Close()
	ctx := context.Background()
	end := time.Now().Add(for_)
	var all sync.WaitGroup
	for kind, lock := range lockings(c) {
		for worker := range 16 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(worker), uint64(len(kind))))
				held := 0
				for time.Now().Before(end) {
					name := fmt.Sprint("lock:", r.IntN(50))
					// What is left to expire has a lease of 300 ms, and its holder is out at once.
					lease, keep := 20*time.Second, r.IntN(20) == 0
					if keep {
						lease = 300 * time.Millisecond
					}
					got, err := lock(ctx, name, lease, keep, func() {
						if n, err := c.Incr(ctx, "inside:"+name).Result(); err != nil || n != 1 {
							t.Errorf("%s: %d are inside %s (%v)", kind, n, name, err)
						}
						time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
						if err := c.Decr(ctx, "inside:"+name).Err(); err != nil {
							t.Error(err)
						}
					})
					if err != nil {
						t.Errorf("%s: %v", kind, err)
						return
					}
					if got {
						held++
					}
				}
				if held == 0 {
					t.Errorf("%s: a worker never got a lock", kind)
				}
			})
		}
	}
	all.Wait()
	t.Logf("%d grants by Holdfast in %v", holdfastGrants(t, c), for_)
}

func holdfastGrants(t *testing.T, c *redis.Client) int64 {
	text, err := c.Info(context.Background(), "distlock").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "distlock_grants:")
	number, _, _ := strings.Cut(rest, "\r\n")
	n, _ := strconv.ParseInt(number, 10, 64)
	return n
}

// A lock of another library that ends is handed over at once: the fencing token is
// the server's clock at the grant.
func TestALockOfAnotherLibraryIsHandedOverAtOnce(t *testing.T) {
	s := holdfasttest.Server(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: 10 * time.Second})
	defer c.Close()
	ctx := context.Background()
	for kind, lock := range lockings(c) {
		for _, keep := range []bool{false, true} {
			late := []time.Duration{}
			for i := range 20 {
				name := fmt.Sprint("l:", kind, keep, i)
				lease := 10 * time.Second
				if keep {
					lease = 100 * time.Millisecond
				}
				granted := make(chan int64)
				var ends time.Time
				if _, err := lock(ctx, name, lease, keep, func() {
					ends = time.UnixMilli(c.PExpireTime(ctx, name).Val().Milliseconds())
					go func() {
						us, err := c.Do(ctx, "LOCK.ACQUIRE", name, "next", 10000, "BLOCK", 5000, "WITHTOKEN").Int64()
						if err != nil {
							t.Error(err)
						}
						granted <- us
					}()
					for !strings.Contains(c.Info(ctx, "distlock").Val(), "distlock_waiting:1") {
					}
				}); err != nil {
					t.Fatal(kind, err)
				}
				if !keep {
					ends = time.Now() // a release that has been answered is over
				}
				late = append(late, time.UnixMicro(<-granted).Sub(ends))
			}
			slices.Sort(late)
			t.Logf("%s, expired %v: %v after the end", kind, keep, late)
			// Found by the server's own search for expired keys, which comes ten times a second,
			// half of them would be later than 50 ms.
			if median := late[len(late)/2]; median > 25*time.Millisecond {
				t.Errorf("%s, expired %v: half of the locks were handed over %v late or later", kind, keep, median)
			}
		}
	}
}

// Redis-py's Lock, in a process of its own, and ours.
func TestTheLockOfRedisPyAndOursExcludeEachOther(t *testing.T) {
	python := "/usr/bin/python3"
	if exec.Command(python, "-c", "import redis").Run() != nil {
		t.Skip("there is no redis-py for " + python)
	}
	sideBySide(t, func(port string) *exec.Cmd {
		return exec.Command(python, "-c", `
import redis, sys
r = redis.Redis(port=int(sys.argv[1]))
for i in range(300):
    with r.lock("report", timeout=20, sleep=0.002, blocking_timeout=20):
        n = r.incr("inside")
        if n != 1: sys.exit("%d are inside" % n)
        r.decr("inside")
held = r.lock("report", timeout=20)
held.acquire()
held.extend(5)
r.set("ready", 1)
r.blpop("go", 10)
held.release()
`, port)
	})
}

// Node's redlock, on the one server that it is told of.
func TestTheLockOfNodesRedlockAndOursExcludeEachOther(t *testing.T) {
	const dir = "../examples/node"
	if _, err := os.Stat(dir + "/node_modules/redlock"); err != nil {
		t.Skip("there is no redlock in " + dir + ": scripts/clients installs it")
	}
	sideBySide(t, func(port string) *exec.Cmd {
		cmd := exec.Command("node", "--input-type=module", "-e", `
import { Redis } from "ioredis"
import redlock from "redlock"
const r = new Redis(Number(process.argv[1]))
const locks = new (redlock.default ?? redlock)([r], { retryCount: 5000, retryDelay: 2, retryJitter: 2 })
for (let i = 0; i < 300; i++) {
  const held = await locks.acquire(["report"], 20000)
  const n = await r.incr("inside")
  if (n !== 1) { console.error(n + " are inside"); process.exit(1) }
  await r.decr("inside")
  await held.release()
}
let held = await locks.acquire(["report"], 20000)
held = await held.extend(5000)
await r.set("ready", 1)
await r.blpop("go", 10)
await held.release()
r.disconnect()
`, port)
		cmd.Dir = dir
		return cmd
	})
}

// sideBySide runs a program that takes the lock report 300 times, counting who is inside, then
// takes it once more, sets ready, and releases it when the list go has something; and
// meanwhile takes the lock itself.
func sideBySide(t *testing.T, program func(port string) *exec.Cmd) {
	s := holdfasttest.Server(t)
	c := s.Client()
	_, port, _ := strings.Cut(s.Addr, ":")
	cmd := program(port)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx := context.Background()
	ours := lockings(c)["holdfast"]
	for c.Exists(ctx, "ready").Val() == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it ended too early: %v: %s", err, out.String())
		default:
		}
		if _, err := ours(ctx, "report", 20*time.Second, false, func() {
			if n := c.Incr(ctx, "inside").Val(); n != 1 && c.Exists(ctx, "ready").Val() == 0 {
				t.Errorf("%d are inside", n)
			}
			c.Decr(ctx, "inside")
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(c.Do(ctx, "LOCK.INFO", "report").Val()); !strings.Contains(got, "foreign:1") && !strings.Contains(got, "foreign 1") {
		t.Errorf("INFO of its lock: %s", got)
	}
	c.RPush(ctx, "go", 1)
	if err := <-ended; err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
}
