package holdfasttest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// stub is a test in a test: what it says and whether it failed.
type stub struct {
	testing.TB
	said     []string
	failed   bool
	cleanups []func()
}

func (s *stub) Helper()             {}
func (s *stub) Cleanup(f func())    { s.cleanups = append(s.cleanups, f) }
func (s *stub) Failed() bool        { return s.failed }
func (s *stub) Logf(string, ...any) {}
func (s *stub) Errorf(format string, args ...any) {
	s.failed, s.said = true, append(s.said, fmt.Sprintf(format, args...))
}
func (s *stub) Fatal(args ...any) {
	s.failed, s.said = true, append(s.said, fmt.Sprint(args...))
	runtime.Goexit()
}

// in runs a test in a test, with its cleanups.
func in(t *testing.T, test func(t testing.TB)) *stub {
	s := &stub{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); test(s) }()
	<-done
	for _, clean := range slices.Backward(s.cleanups) {
		clean()
	}
	return s
}

func TestAServerHasTheThreeModules(t *testing.T) {
	ctx, c := context.Background(), holdfasttest.Server(t).Client()
	for _, command := range []string{"CACHE.GET x", "TASK.STATS x", "LOCK.INFO x"} {
		name, key, _ := strings.Cut(command, " ")
		if err := c.Do(ctx, name, key).Err(); err != nil && !strings.Contains(err.Error(), "nil") {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// Servers before Valkey 9 lose what they acknowledge after a start from a file that ends in the
// middle of a transaction.
func TestAServerThatWasKilledWithinATransactionLosesNothingAfterwards(t *testing.T) {
	ctx := context.Background()
	s := holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	c := s.Client()
	c.Set(ctx, "before", 1, 0)
	if _, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, "half", 1, 0)
		p.Set(ctx, "other", "half", 0)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	files, _ := filepath.Glob(filepath.Join(s.Dir, "appendonlydir", "*.incr.aof"))
	file, err := os.Stat(files[0])
	if err == nil {
		err = os.Truncate(files[0], file.Size()-int64(len("\r\n*1\r\n$4\r\nEXEC\r\n")))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Restart()
	if err := c.Set(ctx, "later", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if got := c.Exists(ctx, "before", "later").Val(); got != 2 || c.Exists(ctx, "half", "other").Val() != 0 {
		t.Errorf("%d of 2 keys are there, and %d of a transaction that was cut off", got, c.Exists(ctx, "half", "other").Val())
	}
}

func TestAServerEndsWithItsTest(t *testing.T) {
	var addr, dir string
	s := in(t, func(t testing.TB) {
		s := holdfasttest.Server(t)
		addr, dir = s.Addr, s.Dir
		if err := s.Client().Set(context.Background(), "k", "v", 0).Err(); err != nil {
			t.Errorf("%v", err)
		}
	})
	if s.failed {
		t.Fatal(s.said)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("its folder is still there")
	}
}

func TestEachServerIsItsOwn(t *testing.T) {
	a, b := holdfasttest.Server(t), holdfasttest.Server(t)
	ctx := context.Background()
	a.Client().Set(ctx, "k", "v", 0)
	if n := b.Client().Exists(ctx, "k").Val(); a.Addr == b.Addr || n != 0 {
		t.Errorf("%s and %s are one", a.Addr, b.Addr)
	}
}

func TestAKilledServerCanBeStartedAgain(t *testing.T) {
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	ctx, c := context.Background(), s.Client()
	c.Set(ctx, "k", "v", 0)
	s.Kill()
	if err := s.Client().Ping(ctx).Err(); err == nil {
		t.Error("a dead server answers")
	}
	s.Restart()
	if v := s.Client().Get(ctx, "k").Val(); v != "v" {
		t.Errorf("it forgot what was in its append-only file: %q", v)
	}
}

func TestACrashFailsTheTest(t *testing.T) {
	s := in(t, func(t testing.TB) {
		s := holdfasttest.Server(t)
		_ = s.Client().Do(context.Background(), "DEBUG", "SEGFAULT").Err()
		<-s.Done()
	})
	if !s.failed || !strings.Contains(strings.Join(s.said, "\n"), "crashed") {
		t.Errorf("a server crashed, and the test said %q", s.said)
	}
}

func TestWhatIsMissingIsSaidWithWhatToDo(t *testing.T) {
	start := func(t testing.TB) { holdfasttest.Server(t) }
	t.Run("modules", func(t *testing.T) {
		t.Setenv("HOLDFAST_MODULES", t.TempDir())
		if s := in(t, start); !s.failed || !strings.Contains(s.said[0], "Try: make build") {
			t.Errorf("it said %q", s.said)
		}
		if s := in(t, func(t testing.TB) { holdfasttest.Server(t, holdfasttest.WithModules()) }); s.failed {
			t.Errorf("who needs no modules: %q", s.said)
		}
	})
	for _, program := range []string{"no-such-server", "/no/such/server"} {
		t.Run(program, func(t *testing.T) {
			t.Setenv("HOLDFAST_SERVER", program)
			if s := in(t, start); !s.failed || !strings.Contains(s.said[0], "Try: apt-get install redis-server") {
				t.Errorf("it said %q", s.said)
			}
			if _, _, err := holdfasttest.Start(); err == nil || !strings.Contains(err.Error(), "Try: ") {
				t.Errorf("Start said %v", err)
			}
		})
	}
}
