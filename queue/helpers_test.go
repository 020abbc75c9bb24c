package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
	"holdfast/queue"
)

// pid is part of the names of this process's consumers.
func pid() int { return os.Getpid() }

// patience bounds every wait. It decides nothing: a test that needs it has failed.
const patience = time.Minute

// quiet is a logger that nobody reads.
var quiet = slog.New(slog.DiscardHandler)

// server is a server and what is asked of it beside the client that is tested.
type server struct{ *clienttest.Server }

// start starts a server, and checks at the end that no goroutine is left.
func start(t *testing.T, options ...holdfasttest.Option) *server {
	t.Helper()
	return &server{clienttest.Start(t, patience, options...)}
}

// durable is a server that loses nothing when it is killed.
func durable(t *testing.T) *server {
	return start(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
}

// rdb is a client as users have it, of another "process".
func (s *server) rdb() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	s.T.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *server) queue(name string) *queue.Queue[string] {
	return queue.New[string](s.rdb(), name, queue.Options{})
}

func (s *server) publish(q *queue.Queue[string], payload string, options ...queue.PublishOption) string {
	s.T.Helper()
	id, err := q.Publish(s.Context(), payload, options...)
	if err != nil {
		s.T.Fatal(err)
	}
	return id
}

func (s *server) stats(q *queue.Queue[string]) queue.Stats {
	s.T.Helper()
	stats, err := q.Stats(s.Context())
	if err != nil {
		s.T.Fatal(err)
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
	s.T.Helper()
	s.Until("the queue is empty", func() bool { st, err := q.Stats(context.Background()); return err == nil && st.Length+st.Delayed == 0 })
	if st := s.stats(q); st.Dead > 0 {
		s.T.Errorf("%d dead letters", st.Dead)
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
