// Package holdfasttest gives tests a real server with the modules of Holdfast
// loaded. It starts redis-server, which must be installed, as a child process
// on a free port of 127.0.0.1 and stops it when the test ends.
package holdfasttest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/redisserver"
)

// Server is a running server and what a test wants of it.
type Server struct {
	*redisserver.Process
	t      testing.TB
	panics bool
}

// ExpectPanics says that a contained panic in the log is what the test is for.
func (s *Server) ExpectPanics() { s.panics = true }

// Option changes how a server is started.
type Option func(*redisserver.Config)

// WithArgs adds arguments of redis-server, e.g. "--appendonly", "yes".
func WithArgs(args ...string) Option {
	return func(c *redisserver.Config) { c.Args = append(c.Args, args...) }
}

// WithModules loads these modules (by file, with arguments) instead of all
// three; none at all if no path is given.
func WithModules(paths ...string) Option {
	return func(c *redisserver.Config) { c.Modules = paths }
}

// WithDir starts the server in a folder, to find there what another left.
func WithDir(dir string) Option {
	return func(c *redisserver.Config) { c.Dir = dir }
}

// startTimeout bounds how long a server may take to be ready.
const startTimeout = 30 * time.Second

// New starts a server with the three modules and stops it when the test ends.
// The server program is redis-server, or $HOLDFAST_SERVER. A server that
// ended by a crash fails the test.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	cfg := redisserver.Config{Modules: modules, Binary: os.Getenv("HOLDFAST_SERVER"), Args: []string{
		"--enable-debug-command", "yes", "--enable-module-command", "yes",
	}}
	for _, o := range options {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := redisserver.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Process: p, t: t}
	t.Cleanup(func() {
		p.Stop()
		if log := p.Log(); t.Failed() || crashed(log) || panicked(log) && !s.panics {
			t.Logf("log of the server at %s:\n%s", p.Addr, tail(log, 8000))
			if !t.Failed() {
				t.Errorf("the server at %s crashed", p.Addr)
			}
		}
	})
	return s
}

// AwaitLog waits, for ten seconds at most, until the server's log has a text.
func (s *Server) AwaitLog(text string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.Process.AwaitLog(ctx, text)
}

// Restart starts the server again after Kill or a shutdown.
func (s *Server) Restart() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.Process.Restart(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Client is a new client of the server, closed when the test ends. It does not
// retry, and waits for replies as long as the test lives.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: 100, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}
