package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

// stop stops a server as a frozen machine does: connections stay, and nobody answers.
func (s *server) stop() (goOn func()) {
	s.T.Helper()
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		s.T.Fatal(err)
	}
	goOn = sync.OnceFunc(func() { _ = syscall.Kill(s.PID(), syscall.SIGCONT) })
	s.T.Cleanup(goOn)
	return goOn
}

func loads(value string) loader {
	return func(context.Context) (string, error) { return value, nil }
}

// late is how much later than its context ends a call may return on a machine that
// many tests share. On a quiet one it is a millisecond or two; the tests log it.
// go-redis's own timeouts are 5 seconds.
const late = 2 * time.Second

func TestNoCallOutlivesItsContextWhileRedisIsSilent(t *testing.T) {
	for name, o := range map[string]cache.Options{
		"far":  {Codec: cache.Bytes, Timeout: 200 * time.Millisecond},
		"near": {Codec: cache.Bytes, Timeout: 200 * time.Millisecond, Near: cache.NearOptions{Size: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c := s.cache(o)
			s.get(c, "there", loads("v"))
			if o.Near.Size > 0 {
				s.Until("it tracks", func() bool { _, up := cache.Near(c); return up })
			}
			s.stop()
			var longest atomic.Int64
			defer func() { t.Logf("the longest took %v", time.Duration(longest.Load())) }()
			fetch := func(key string) {
				ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
				defer cancel()
				began := time.Now()
				v, err := c.Fetch(ctx, key, loads("v"))
				took := time.Since(began)
				longest.Store(max(longest.Load(), int64(took)))
				if v != "v" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %q, %v", key, v, err)
				}
			}
			for i := range 8 {
				fetch(fmt.Sprint("one after the other", i))
			}
			var all sync.WaitGroup
			for i := range 300 {
				all.Go(func() { fetch(fmt.Sprint("at once", i)) })
			}
			for range 20 {
				all.Go(func() { fetch("shared") })
			}
			all.Wait()
			if took := time.Duration(longest.Load()); took > 100*time.Millisecond+late {
				t.Errorf("the longest took %v", took)
			}
			for call, do := range map[string]func(context.Context) error{
				"Invalidate": func(ctx context.Context) error { return c.Invalidate(ctx, "a", "b") },
				"Set":        func(ctx context.Context) error { return c.Set(ctx, "a", "v", 0) },
				"Peek":       func(ctx context.Context) error { _, _, err := c.Peek(ctx, "a"); return err },
			} {
				ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
				began := time.Now()
				err := do(ctx)
				if took := time.Since(began); took > 100*time.Millisecond+late || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v after %v", call, err, took)
				}
				cancel()
			}
		})
	}
}

func TestWhileRedisIsSilentValuesAreLoadedWithoutItAndNoCallerProbesIt(t *testing.T) {
	s := start(t)
	var log syncBuffer
	c := s.cache(cache.Options{Timeout: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.get(c, "first", loads("v"))
	goOn := s.stop()
	s.get(c, "k", loads("v")) // no deadline
	s.Until("the server is known to be down", func() bool { return strings.Contains(log.String(), "does not answer") })
	calls, waited := 0, 0
	for began := time.Now(); time.Since(began) < 3*time.Second; calls++ {
		before := time.Now()
		s.get(c, fmt.Sprint("k", calls), loads("v"))
		if time.Since(before) > 400*time.Millisecond {
			waited++
		}
	}
	if waited > calls/100 { // on a busy machine one may
		t.Errorf("%d of %d calls waited for Redis", waited, calls)
	}
	goOn()
	s.Until("values are kept again", func() bool {
		s.get(c, "again", loads("v"))
		return s.Exists(s.Context(), "again").Val() == 1
	})
	s.Until("the log says so", func() bool { return strings.Contains(log.String(), "answers again") })
	if text := log.String(); strings.Count(text, "does not answer") != 1 || strings.Count(text, "answers again") != 1 {
		t.Errorf("the log says:\n%s", text)
	}
}

func TestTheFirstCallersDeadlineIsNotTheOthers(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Timeout: 2 * time.Second})
	s.get(c, "first", loads("v"))
	s.stop()
	ctx, cancel := context.WithTimeout(s.Context(), time.Second) // both have asked by then
	defer cancel()
	first := s.fetch(ctx, c, "k", loads("the first one's load"))
	s.Until("it is asked for", func() bool { return cache.Callers(c, "k") == 1 })
	second := s.fetch(s.Context(), c, "k", never(t))
	s.Until("two share it", func() bool { return cache.Callers(c, "k") == 2 })
	if r := <-first; !errors.Is(r.err, context.DeadlineExceeded) {
		t.Error(r)
	}
	if r := <-second; r.value != "the first one's load" || r.err != nil {
		t.Error(r)
	}
}

// A connection that a NAT has dropped costs Timeout and no outage.
func TestADeadConnectionIsNoOutage(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	var log syncBuffer
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	c := cache.New[string](client, cache.Options{Timeout: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	t.Cleanup(func() { _ = c.Close(); _ = client.Close() })
	for range 3 {
		s.get(c, "k", loads("v"))
		proxy.Forget()
		began := time.Now()
		s.get(c, "k", loads("v"))
		if took := time.Since(began); took > 500*time.Millisecond+late {
			t.Errorf("it took %v", took)
		}
		s.Until("the server was probed", func() bool { return cache.Probed(c) == 0 })
	}
	if log.String() != "" {
		t.Errorf("the log says:\n%s", log.String())
	}
}

func TestCloseReturnsAlsoWhileRedisIsSilent(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Timeout: time.Second})
	s.get(c, "k", loads("v"))
	s.stop()
	asking := s.fetch(s.Context(), c, "k", never(t))
	s.Until("it is asked for", func() bool { return cache.Callers(c, "k") == 1 })
	began := time.Now()
	_ = c.Close()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
	if r := <-asking; !errors.Is(r.err, cache.ErrClosed) {
		t.Error(r)
	}
}

func TestWithoutTheModuleValuesAreLoadedAndTheLogSaysWhatToDo(t *testing.T) {
	s := start(t, holdfasttest.WithModules())
	var log syncBuffer
	c := s.cache(cache.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 5 {
		s.get(c, fmt.Sprint("k", i), loads("v"))
	}
	s.Until("the log says what to do", func() bool { return strings.Contains(log.String(), "loadmodule") })
}

// A server whose disk is full refuses CACHE.FETCH, which may write, but still reads.
func TestAServerThatRefusesToWriteIsReadFrom(t *testing.T) {
	for name, refuse := range map[string]func(*server) (allow func()){
		"MISCONF": func(s *server) func() {
			clienttest.RefuseWrites(t, s.Instance)
			return func() { clienttest.AllowWrites(t, s.Instance) }
		},
		"NOREPLICAS": func(s *server) func() {
			s.do("CONFIG", "SET", "min-replicas-to-write", 1)
			return func() { s.do("CONFIG", "SET", "min-replicas-to-write", 0) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c := s.cache(cache.Options{Codec: cache.Bytes})
			s.Set(s.Context(), "k", "there", time.Hour)
			allow := refuse(s)
			for range 3 {
				s.get(c, "new", loads("v"))
			}
			s.Until("what is there is read", func() bool {
				return s.get(c, "k", loads("loaded")) == "there"
			})
			s.get(c, "k", never(t))
			allow()
			s.Until("values are kept again", func() bool {
				s.get(c, "again", loads("v"))
				return s.Exists(s.Context(), "again").Val() == 1
			})
		})
	}
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
