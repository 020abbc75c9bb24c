package queue_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

// patience bounds every wait. It decides nothing: a test that needs it has failed.
const patience = 20 * time.Second

// quiet is a logger that nobody reads.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// server is a server and what is asked of it beside the client that is tested.
type server struct {
	*holdfasttest.Instance
	*redis.Client
	t *testing.T
}

// watchGoroutines checks at the end of a test that none is left.
func watchGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		// The one thread that starts servers stays, and for a second what a closed
		// go-redis client had to ask a dead server again.
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
			goleak.IgnoreAnyFunction("holdfast/internal/redisserver.startPinned.func1.1"))
	})
}

func start(t *testing.T, options ...holdfasttest.Option) *server {
	t.Helper()
	watchGoroutines(t)
	s := holdfasttest.Server(t, options...)
	return &server{s, s.Client(), t}
}

// durable is a server that loses nothing when it is killed.
func durable(t *testing.T) *server {
	return start(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
}

// rdb is a client as users have it, of another "process".
func (s *server) rdb() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *server) queue(name string) *queue.Queue[string] {
	return queue.New[string](s.rdb(), name, queue.Options{})
}

func (s *server) context() context.Context { return testContext(s.t) }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (s *server) until(what string, so func() bool) { s.t.Helper(); until(s.t, what, so) }

// until waits for something to become so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not even after %v: %s", patience, what)
		}
	}
}

func (s *server) publish(q *queue.Queue[string], payload string, options ...queue.PublishOption) string {
	s.t.Helper()
	id, err := q.Publish(s.context(), payload, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *server) stats(q *queue.Queue[string]) queue.Stats {
	s.t.Helper()
	stats, err := q.Stats(s.context())
	if err != nil {
		s.t.Fatal(err)
	}
	return stats
}

// running is a worker at work.
type running struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
}

func run(t testing.TB, w *queue.Worker) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t, cancel, make(chan error, 1)}
	go func() { r.done <- w.Run(ctx); close(r.done) }()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// stop stops the worker, which must leave nothing unfinished.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Error(err)
	}
}

// empty waits until all tasks of a queue are done, and none is dead.
func (s *server) empty(q *queue.Queue[string]) {
	s.t.Helper()
	s.until("the queue is empty", func() bool { st, err := q.Stats(context.Background()); return err == nil && st.Length+st.Delayed == 0 })
	if st := s.stats(q); st.Dead > 0 {
		s.t.Errorf("%d dead letters", st.Dead)
	}
}

// tally counts how often each task was done.
type tally struct {
	mu   sync.Mutex
	done map[string]int
}

func newTally() *tally { return &tally{done: map[string]int{}} }

func (c *tally) handle(_ context.Context, t *queue.Task[string]) error {
	c.add(t.Payload)
	return nil
}

func (c *tally) add(payload string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[payload]++
}

func (c *tally) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.done)
}

// missing are those of n tasks, called 0 and so on, that were not done; and how many
// were done more than once.
func (c *tally) missing(n int) (none []string, twice int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		switch c.done[fmt.Sprint(i)] {
		case 0:
			none = append(none, fmt.Sprint(i))
		case 1:
		default:
			twice++
		}
	}
	return none, twice
}

// calls is how often the server ran a command.
func (s *server) calls(command string) (n int) {
	s.t.Helper()
	for _, line := range strings.Split(s.Info(s.context(), "commandstats").Val(), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			_, _ = fmt.Sscanf(rest, "%d,", &n)
		}
	}
	return n
}

// kill closes the connections whose last command was one.
func (s *server) kill(command string) (n int) {
	for _, line := range strings.Split(s.ClientList(context.Background()).Val(), "\n") {
		var id int64
		if strings.Contains(line, "cmd="+command) {
			_, _ = fmt.Sscanf(line, "id=%d ", &id)
			n += int(s.ClientKillByFilter(context.Background(), "ID", fmt.Sprint(id)).Val())
		}
	}
	return n
}
