package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/holdfasttest"
)

func TestAnInspectorTellsWhatTheServerKnows(t *testing.T) {
	s := start(t)
	for _, protocol := range []int{2, 3} {
		s.FlushAll(s.Context())
		rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: protocol})
		in := cache.Inspect(rdb)
		info := func(key string) cache.Info {
			t.Helper()
			i, err := in.Info(s.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
		if i := info("nothing"); i != (cache.Info{}) {
			t.Errorf("%+v", i)
		}
		c := s.cache(cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour, LoadBackoff: time.Minute})
		s.get(c, "k", loads("value"))
		if i := info("k"); !i.Present || i.Bytes != 5 || i.TTL < time.Hour || i.Loading {
			t.Errorf("%+v", i)
		}
		_, _ = c.Fetch(s.Context(), "none", func(context.Context) (string, error) { return "", cache.ErrNotFound })
		if i := info("none"); i.Present || !i.Absent || i.TTL <= 0 {
			t.Errorf("%+v", i)
		}
		s.Set(s.Context(), "old", "old", 30*time.Minute)
		_, _ = c.Fetch(s.Context(), "old", func(context.Context) (string, error) { return "", errors.New("oops") })
		if i := info("old"); i.Failed != "oops" || i.Backoff <= 0 || !i.Present {
			t.Errorf("%+v", i)
		}
		g := newGate()
		first := s.fetch(s.Context(), c, "loading", g.load)
		<-g.called
		second := s.fetch(s.Context(), s.cache(cache.Options{Codec: cache.Bytes}), "loading", never(t))
		s.waiters("loading", 1)
		if i := info("loading"); !i.Loading || i.Waiters != 1 || i.Lease <= 0 || i.Budget <= 0 {
			t.Errorf("%+v", i)
		}
		if all, err := in.Loads(s.Context(), 10); err != nil || len(all) != 1 || all[0].Key != "loading" || all[0].Waiters != 1 || all[0].Lease <= 0 {
			t.Errorf("%+v, %v", all, err)
		}
		g.answer <- result{"v", nil}
		<-first
		<-second
		stats, err := in.Stats(s.Context())
		if err != nil || stats["loads"] < 4 || stats["misses"] == 0 {
			t.Errorf("%v, %v", stats, err)
		}
		if n, err := in.Delete(s.Context(), "k", "loading", "nothing"); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		_ = rdb.Close()
	}
}

func TestAnInspectorAsksAllOfACluster(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 3, 0)
	rdb := cluster.Client()
	in := cache.Inspect(rdb)
	const keys = 30
	for _, key := range manyKeys("k", keys) {
		rdb.Do(s.Context(), "CACHE.FETCH", key, 60000, 60000)
	}
	if all, err := in.Loads(s.Context(), 100); err != nil || len(all) != keys {
		t.Errorf("%d loads, %v", len(all), err)
	}
	if stats, err := in.Stats(s.Context()); err != nil || stats["leases"] != keys {
		t.Errorf("%v, %v", stats, err)
	}
	for _, key := range manyKeys("k", keys) {
		rdb.Do(s.Context(), "CACHE.SET", key, "v", 60000)
	}
	if n, err := in.Delete(s.Context(), manyKeys("k", keys)...); n != keys || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestNoCallOfAnInspectorOutlivesItsContext(t *testing.T) {
	s := start(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	in := cache.Inspect(rdb)
	if err := rdb.Ping(s.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.stop()
	for name, call := range map[string]func(context.Context) error{
		"Info":     func(ctx context.Context) error { _, err := in.Info(ctx, "k"); return err },
		"Loads":    func(ctx context.Context) error { _, err := in.Loads(ctx, 10); return err },
		"Delete":   func(ctx context.Context) error { _, err := in.Delete(ctx, "k"); return err },
		"Stats":    func(ctx context.Context) error { _, err := in.Stats(ctx); return err },
		"Prefixes": func(ctx context.Context) error { _, err := in.Prefixes(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > late {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
		cancel()
	}
}
