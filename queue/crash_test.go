package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/queue"
)

// load publishes n tasks, 0 and so on, one by one, each until it is confirmed.
func load(t *testing.T, publish func(i int) error, n int) *sync.WaitGroup {
	var all sync.WaitGroup
	var next atomic.Int64
	for range 4 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
					err := publish(i)
					if err == nil {
						break
					}
					if time.Now().After(end) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	return &all
}

func TestTasksOfBrokenConnectionsAreDoneAtOnce(t *testing.T) {
	s := start(t)
	q, c := s.queue("q"), newTally()
	o := queue.WorkerOptions{Lease: time.Hour, Logger: quiet} // nobody could wait for a lease
	a, b := run(t, queue.NewWorker(s.queue("q"), c.handle, o)), run(t, queue.NewWorker(s.queue("q"), c.handle, o))
	const n = 2000
	all := load(t, func(i int) error {
		_, err := q.Publish(s.Context(), fmt.Sprint(i), queue.Unique(fmt.Sprint(i), time.Hour))
		return err
	}, n)
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	killed := 0
	for done := false; !done; {
		killed += s.KillClients("cmd=task.consume") + s.KillClients("cmd=task.ack")
		select {
		case <-over:
			done = true
		case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
		}
	}
	s.empty(q)
	a.stop()
	b.stop()
	none, twice := c.missing(n)
	t.Logf("%d connections were killed, %d tasks done twice", killed, twice)
	if len(none) > 0 || killed == 0 {
		t.Errorf("not done: %v", none)
	}
}

func TestTasksWhoseDeliveryWasNeverReadAreDoneAtOnce(t *testing.T) {
	s := start(t)
	q, c := s.queue("q"), newTally()
	var lose atomic.Int32
	deaf := queue.New[string](s.deaf(&lose), "q", queue.Options{})
	w := run(t, queue.NewWorker(deaf, c.handle, queue.WorkerOptions{Lease: time.Hour, Logger: quiet}))
	for i := range 20 {
		s.Until("the worker waits", func() bool { return s.stats(q).Waiting == 1 })
		lose.Store(1)
		s.publish(q, fmt.Sprint(i))
		s.Until("it is done", func() bool { return c.len() == i+1 })
	}
	s.empty(q)
	w.stop()
}

func TestNoTaskIsLostWhenTheServerIsKilledUnderLoad(t *testing.T) {
	s := durable(t)
	q := s.queue("q")
	var mu sync.Mutex
	done := map[string][]string{} // by which entries
	var failures atomic.Int32
	h := func(_ context.Context, t *queue.Task[string]) error {
		mu.Lock()
		defer mu.Unlock()
		done[t.Payload] = append(done[t.Payload], t.Entry)
		if rand.N(10) == 0 {
			failures.Add(1)
			return errors.New("tried again") // while it is told, the server may die
		}
		return nil
	}
	o := queue.WorkerOptions{Backoff: queue.Constant(time.Millisecond), Lease: 2 * time.Second, MaxTries: 101, MaxDeliveries: 100, Logger: quiet}
	a, b := run(t, queue.NewWorker(s.queue("q"), h, o)), run(t, queue.NewWorker(s.queue("q"), h, o))
	const n = 1500
	var ambiguous atomic.Int32
	all := load(t, func(i int) error {
		_, err := q.Publish(context.Background(), fmt.Sprint(i))
		if err != nil {
			ambiguous.Add(1)
		}
		return err
	}, n)
	for k := range 4 {
		mark := (k + 1) * n / 6
		s.Until("some are done", func() bool { mu.Lock(); defer mu.Unlock(); return len(done) >= mark })
		s.Kill()
		s.Restart()
	}
	all.Wait()
	s.empty(q)
	a.stop()
	b.stop()
	again, more := 0, 0
	for _, ids := range done {
		entries := map[string]bool{}
		for _, id := range ids {
			entries[id] = true
		}
		again += len(ids) - len(entries) // one entry done twice: its acknowledgement was lost
		more += len(entries) - 1         // further entries: retries, and publications in doubt
	}
	t.Logf("%d deliveries repeated, %d entries more, %d failures, %d publications in doubt", again, more, failures.Load(), ambiguous.Load())
	if most := int(failures.Load() + ambiguous.Load()); more > most {
		t.Errorf("%d entries more than tasks, of %d that failed or were in doubt", more, most)
	}
	if len(done) != n {
		t.Errorf("%d of %d tasks were done", len(done), n)
	}
	// In doubt at a kill are, for each worker, at most what it had.
	if most := 4 * 2 * 20; again > most {
		t.Errorf("%d repeated, more than the %d that workers can have had when the server died", again, most)
	}
}

// TestHelperWorker is the process that the next test kills.
func TestHelperWorker(t *testing.T) {
	addr := os.Getenv("HOLDFAST_QUEUE_ADDR")
	if addr == "" {
		t.Skip("a process of another test")
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	q := queue.New[string](rdb, "q", queue.Options{})
	_ = queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error {
		return rdb.SAdd(ctx, "begun", t.Payload).Err()
	}, queue.WorkerOptions{Lease: 500 * time.Millisecond}).Run(context.Background())
}

func TestTheTasksOfAKilledProcessAreDoneByOthers(t *testing.T) {
	s := start(t)
	q, c := s.queue("q"), newTally()
	const n = 3000
	for i := range n {
		s.publish(q, fmt.Sprint(i))
	}
	for k := range 3 {
		p := exec.Command(os.Args[0], "-test.run", "^TestHelperWorker$")
		p.Env = append(os.Environ(), "HOLDFAST_QUEUE_ADDR="+s.Addr)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		s.Until("it works", func() bool { return s.SCard(s.Context(), "begun").Val() >= int64(100*(k+1)) })
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	pending := s.stats(q).Groups[0].Pending
	w := run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{Lease: 500 * time.Millisecond, Logger: quiet}))
	s.empty(q)
	w.stop()
	begun := map[string]bool{}
	for _, payload := range s.SMembers(s.Context(), "begun").Val() {
		begun[payload] = true
	}
	t.Logf("%d were begun by processes that were killed, %d pending then", len(begun), pending)
	for i := range n {
		if payload := fmt.Sprint(i); !begun[payload] && c.done[payload] == 0 {
			t.Errorf("task %d was done by nobody", i)
		}
	}
}
