package cache_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/internal/clienttest"
)

func TestALoaderThatEndsItsGoroutineKeepsNobodyWaiting(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Lease: time.Hour, LoadTimeout: 2 * time.Hour})
	exit := func(context.Context) (string, error) { runtime.Goexit(); return "", nil }
	if _, err := c.Fetch(s.Context(), "k", exit); err == nil || !strings.Contains(err.Error(), "ended its goroutine") {
		t.Error(err)
	}
	s.get(c, "k", func(context.Context) (string, error) { return "v", nil }) // no lease is left
	s.Kill()
	for range 3 { // without Redis: no place among those that may load is lost
		c = s.cache(cache.Options{MaxLoads: 1})
		if _, err := c.Fetch(s.Context(), "x", exit); err == nil {
			t.Error("a load that ended nowhere came to something")
		}
		s.get(c, "x", func(context.Context) (string, error) { return "v", nil })
	}
	s.Restart()
}

func TestALoaderThatHeedsNothingKeepsNobodyWaiting(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{LoadTimeout: 50 * time.Millisecond})
	stuck := make(chan struct{})
	defer close(stuck)
	_, err := c.Fetch(s.Context(), "k", func(context.Context) (string, error) { <-stuck; return "late", nil })
	if !errors.Is(err, cache.ErrLoadTimeout) {
		t.Error(err)
	}
	s.get(s.cache(cache.Options{}), "k", func(context.Context) (string, error) { return "v", nil })
}

// mine is a codec of a user's that panics.
type mine struct{}

func (mine) Marshal(any) ([]byte, error)     { panic("in Marshal") }
func (mine) Unmarshal(_ []byte, _ any) error { panic("in Unmarshal") }

func TestACodecThatPanicsKeepsNobodyWaiting(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: mine{}})
	s.Set(s.Context(), "k", "cannot be decoded", time.Hour)
	for range 2 {
		_, err := c.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "v", nil })
		if err == nil || !strings.Contains(err.Error(), "in Marshal") {
			t.Error(err)
		}
	}
}

// The network breaks without a word while one waits for a value that another loads.
func TestWhoWaitsOnABrokenNetworkGetsAValueAllTheSame(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr, ReadTimeout: 200 * time.Millisecond})
	b := cache.New[string](rdb, cache.Options{LoadTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = b.Close(); _ = rdb.Close() })
	a, g := s.cache(cache.Options{}), newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", func(context.Context) (string, error) { return "b's own", nil })
	s.waiters("k", 1)
	proxy.Freeze()
	if r := <-second; r.value != "b's own" || r.err != nil {
		t.Error(r)
	}
	g.answer <- result{"a's", nil}
	if r := <-first; r.value != "a's" || r.err != nil {
		t.Error(r)
	}
	proxy.Thaw()
}
