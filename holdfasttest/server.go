// Package holdfasttest gives tests a real server with the modules of Holdfast
// loaded, in one line:
//
//	func TestReportsAreWrittenOnce(t *testing.T) {
//		s := holdfasttest.Server(t)
//		locks := lock.New(s.Client(), lock.Options{})
//		…
//	}
//
// Server starts redis-server (or what $HOLDFAST_SERVER names) as a child process
// on a free port of 127.0.0.1, with an empty temporary folder, and stops it when
// the test ends. That takes some 20 ms: a server for each test is cheap, and no
// test sees what another left. [Cluster] and [Sentinel] start several, for tests of
// a failover; [Start] one for what is no test.
//
// The modules are looked for in $HOLDFAST_MODULES, in the build folder of the
// module that is tested and of Holdfast's own source, and where make install and
// packages put them. make build makes them.
package holdfasttest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/redisserver"
)

// Instance is a running server and what a test wants of it: its Addr, a Client, to
// Kill and to Restart it, and its Log.
type Instance struct {
	Addr string // host:port
	Dir  string // the server's folder
	Port int

	process *redisserver.Process
	t       testing.TB
	panics  bool
}

// Log is what the server has written to its log.
func (s *Instance) Log() string { return s.process.Log() }

// PID is the server's process id.
func (s *Instance) PID() int { return s.process.PID() }

// Done is closed when the server has ended.
func (s *Instance) Done() <-chan struct{} { return s.process.Done() }

// Err is how the server ended: nil in good order.
func (s *Instance) Err() error { return s.process.Err() }

// Kill ends the server at once, as kill -9 does. What it left in Dir stays, for Restart.
func (s *Instance) Kill() { s.process.Kill() }

// Stop shuts the server down before the test ends, and removes its folder.
func (s *Instance) Stop() { s.process.Stop() }

// ExpectPanics says that a contained panic in the log is what the test is for.
func (s *Instance) ExpectPanics() { s.panics = true }

// Option changes how a server is started.
type Option func(*settings)

// settings say how a server is started.
type settings struct{ redisserver.Config }

// WithArgs adds arguments of redis-server, e.g. "--appendonly", "yes".
func WithArgs(args ...string) Option {
	return func(c *settings) { c.Args = append(c.Args, args...) }
}

// WithModules loads these modules (by file, with arguments) instead of all
// three; none at all if no path is given.
func WithModules(paths ...string) Option {
	return func(c *settings) { c.Modules = append([]string{}, paths...) }
}

// WithDir starts the server in a folder, to find there what another left.
func WithDir(dir string) Option {
	return func(c *settings) { c.Dir = dir }
}

// startTimeout bounds how long a server may take to be ready.
const startTimeout = 30 * time.Second

// Server starts a server with the three modules and stops it when the test ends.
// The test fails at once, and says what to do, where the modules are not built or
// the server program is not installed; it also fails if the server crashes.
func Server(t testing.TB, options ...Option) *Instance {
	t.Helper()
	cfg, err := config(options)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, cfg)
}

// run starts a server that is stopped when the test ends. With $HOLDFAST_CLUSTER it is
// a cluster of one node, unless the test makes a cluster itself.
func run(t testing.TB, cfg redisserver.Config) *Instance {
	t.Helper()
	cluster := os.Getenv("HOLDFAST_CLUSTER") != "" && !slices.Contains(cfg.Args, "--cluster-enabled")
	if cluster {
		cfg.Args = append(cfg.Args, "--cluster-enabled", "yes")
	}
	s, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if cluster {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		rdb := s.Client()
		must(t, rdb.ClusterAddSlotsRange(ctx, 0, 16383).Err())
		await(ctx, t, "the cluster is up", func() bool {
			return strings.Contains(rdb.ClusterInfo(ctx).Val(), "cluster_state:ok")
		})
	}
	return s
}

func start(t testing.TB, cfg redisserver.Config) (*Instance, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := redisserver.Start(ctx, cfg)
	if err != nil {
		return nil, hint(err)
	}
	s := &Instance{Addr: p.Addr, Dir: p.Dir, Port: p.Port, process: p, t: t}
	t.Cleanup(func() {
		p.Stop()
		if log := p.Log(); t.Failed() || crashed(log) || panicked(log) && !s.panics {
			t.Logf("log of the server at %s:\n%s", p.Addr, tail(log, 8000))
			if !t.Failed() {
				t.Errorf("the server at %s crashed", p.Addr)
			}
		}
	})
	return s, nil
}

// config is how servers of tests are started.
func config(options []Option) (redisserver.Config, error) {
	set := settings{redisserver.Config{Strict: true, Binary: os.Getenv("HOLDFAST_SERVER"), Args: []string{
		"--enable-debug-command", "yes", "--enable-module-command", "yes",
	}}}
	for _, o := range options {
		o(&set)
	}
	cfg := set.Config
	if cfg.Modules != nil { // who loads others, or none, need not have these
		return cfg, nil
	}
	var err error
	if cfg.Modules, err = redisserver.Modules(); err != nil {
		return cfg, hint(err)
	}
	return cfg, nil
}

// AwaitLog waits, for half a minute at most, until the server's log has a text.
func (s *Instance) AwaitLog(text string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return s.process.AwaitLog(ctx, text)
}

// Restart starts the server again after Kill or a shutdown. A transaction that Kill cut off
// in the append-only file is removed first, as operators should do it.
func (s *Instance) Restart() {
	s.t.Helper()
	if err := mendAOF(s.Dir); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.process.Restart(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Client is a new client of the server, closed when the test ends. It does not
// retry, and waits for replies as long as the test lives: what a test asks with.
// To test how a client of your own bears failures, make it as you do, for Addr.
func (s *Instance) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: 100, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}
