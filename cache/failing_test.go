package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/cache"
)

func TestThatThereIsNothingIsRememberedWithAllOptions(t *testing.T) {
	s := start(t)
	for i, o := range []cache.Options{
		{},
		{StaleOnError: time.Hour},
		{RefreshAhead: 10 * time.Second},
		{RefreshAhead: 10 * time.Second, StaleOnError: time.Hour},
		{StaleOnError: time.Hour, Near: cache.NearOptions{Size: 10}},
	} {
		c := s.cache(o)
		loads := 0
		for range 100 {
			_, err := c.Fetch(s.Context(), fmt.Sprint("k", i), func(context.Context) (string, error) {
				loads++
				return "", cache.ErrNotFound
			})
			if !errors.Is(err, cache.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if loads != 1 {
			t.Errorf("options %d: %d loads", i, loads)
		}
	}
}

func TestAFailingSourceIsAskedNowAndThenAndLoggedAsOften(t *testing.T) {
	s := start(t)
	var log syncBuffer
	o := cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	a, b := s.cache(o), s.cache(o)
	s.Set(s.Context(), "k", "old", 30*time.Minute) // beyond its TTL
	var loads atomic.Int32
	fetches := 0
	began := time.Now()
	for time.Since(began) < 3*time.Second {
		for _, c := range []*cache.Cache[string]{a, b} {
			v := s.get(c, "k", func(context.Context) (string, error) {
				loads.Add(1)
				return "", errors.New("the source is down")
			})
			if v != "old" {
				t.Fatal(v)
			}
			fetches++
		}
	}
	if n := loads.Load(); n < 2 || n > 6 {
		t.Errorf("%d loads in 3 s", n)
	}
	if n := strings.Count(log.String(), "\n"); n != int(loads.Load()) {
		t.Errorf("%d lines for %d loads:\n%s", n, loads.Load(), log.String())
	}
	t.Logf("%d fetches, %d loads", fetches, loads.Load())
	s.Until("it is loaded when the source is back", func() bool {
		return s.get(a, "k", func(context.Context) (string, error) { return "new", nil }) == "new"
	})
}

// A caller that loads waits for its load for a second at most, the others not at all.
func TestWithAnOldValueAtHandNobodyWaitsLong(t *testing.T) {
	s := start(t)
	c, other := s.cache(cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour}), s.cache(cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour})
	s.Set(s.Context(), "k", "old", 30*time.Minute)
	g := newGate()
	first := s.fetch(s.Context(), c, "k", g.load)
	<-g.called
	for _, c := range []*cache.Cache[string]{c, other} {
		if v := s.get(c, "k", never(t)); v != "old" {
			t.Error(v)
		}
	}
	if r := <-first; r.value != "old" || r.err != nil {
		t.Error(r)
	}
	g.answer <- result{"new", nil} // the load goes on
	s.Until("the new value is there", func() bool { return s.Get(s.Context(), "k").Val() == "new" })

	// A caller whose context ends first gets the old value rather than its error.
	s.Set(s.Context(), "k", "old", 30*time.Minute)
	ctx, cancel := context.WithCancel(s.Context())
	first = s.fetch(ctx, c, "k", g.load)
	<-g.called
	cancel()
	if r := <-first; r.value != "old" || r.err != nil {
		t.Error(r)
	}
	g.answer <- result{"newer", nil}
	s.Until("the newer value is there", func() bool { return s.Get(s.Context(), "k").Val() == "newer" })
}

func TestAColdMissIsOneCommand(t *testing.T) {
	s := start(t)
	for _, o := range []cache.Options{
		{}, {StaleOnError: time.Hour}, {RefreshAhead: time.Second, Codec: cache.Bytes},
	} {
		c := s.cache(o)
		s.ConfigResetStat(s.Context())
		s.get(c, fmt.Sprint(o), loads("v"))
		if get, fetch := s.Calls("cache.get"), s.Calls("cache.fetch"); get != 0 || fetch != 1 {
			t.Errorf("%d CACHE.GET, %d CACHE.FETCH", get, fetch)
		}
	}
}

func TestWhatAPanicSaidStaysInItsProcess(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{}), s.cache(cache.Options{})
	loading, panics := make(chan struct{}), make(chan struct{})
	first := s.fetch(s.Context(), a, "k", func(context.Context) (string, error) {
		close(loading)
		<-panics
		panic("postgres://user:secret@db")
	})
	<-loading
	second := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	close(panics)
	if r := <-first; r.err == nil || !strings.Contains(r.err.Error(), "secret") || strings.Contains(r.err.Error(), "goroutine") {
		t.Error(r)
	}
	if r := <-second; !errors.Is(r.err, cache.ErrLoadFailed) || strings.Contains(r.err.Error(), "secret") || !strings.Contains(r.err.Error(), "panicked") {
		t.Error(r)
	}
}

func TestWhatACodecsPanicSaidStaysInItsProcess(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{Codec: mine{}}), s.cache(cache.Options{})
	g := newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	g.answer <- result{"v", nil}
	<-first
	if r := <-second; !errors.Is(r.err, cache.ErrLoadFailed) || strings.Contains(r.err.Error(), "in Marshal") || !strings.Contains(r.err.Error(), "panicked") {
		t.Error(r)
	}
}

func TestALoaderThatFetchesItsOwnKeyIsToldAtOnce(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{Prefix: "a:"}), s.cache(cache.Options{Prefix: "b:"})
	_, err := a.Fetch(s.Context(), "k", func(ctx context.Context) (string, error) { return a.Fetch(ctx, "k", never(t)) })
	if !errors.Is(err, cache.ErrRecursiveLoad) {
		t.Error(err)
	}
	_, err = a.Fetch(s.Context(), "k", func(ctx context.Context) (string, error) { // through two others
		return a.Fetch(ctx, "k2", func(ctx context.Context) (string, error) {
			return b.Fetch(ctx, "k", func(ctx context.Context) (string, error) { return a.Fetch(ctx, "k", never(t)) })
		})
	})
	if !errors.Is(err, cache.ErrRecursiveLoad) {
		t.Error(err)
	}
	v, err := a.Fetch(s.Context(), "k", func(ctx context.Context) (string, error) { // the same key of another cache is another
		return b.Fetch(ctx, "k", loads("v"))
	})
	if v != "v" || err != nil {
		t.Error(v, err)
	}
}
