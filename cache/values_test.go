package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/cache"
	"holdfast/holdfasttest"
)

func TestALoaderSaysHowLongItsValueLives(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, Jitter: -1, StaleOnError: time.Minute})
	s.get(c, "short", func(ctx context.Context) (string, error) { cache.SetTTL(ctx, 10*time.Second); return "v", nil })
	if ttl := s.PTTL(s.Context(), "short").Val(); ttl > 70*time.Second || ttl < 60*time.Second {
		t.Errorf("10 s and a minute beyond: %v", ttl)
	}
	_, err := c.Fetch(s.Context(), "none", func(ctx context.Context) (string, error) {
		cache.SetTTL(ctx, time.Hour)
		return "", cache.ErrNotFound
	})
	if ttl := s.PTTL(s.Context(), "none").Val(); !errors.Is(err, cache.ErrNotFound) || ttl < 59*time.Minute {
		t.Errorf("%v, %v", err, ttl)
	}
	cache.SetTTL(s.Context(), time.Second) // no loader: nothing happens
}

func TestWhatIsNotToBeStoredGoesToThoseWhoWaitAlone(t *testing.T) {
	s := start(t)
	o := cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour}
	a, b := s.cache(o), s.cache(o)
	loading, done := make(chan struct{}), make(chan struct{})
	first := s.fetch(s.Context(), a, "k", func(ctx context.Context) (string, error) {
		close(loading)
		<-done
		cache.DoNotStore(ctx)
		return "v", nil
	})
	<-loading
	second := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	close(done)
	for _, r := range []result{<-first, <-second} {
		if r.value != "v" || r.err != nil {
			t.Error(r)
		}
	}
	s.Until("it is gone", func() bool { return s.Exists(s.Context(), "k").Val() == 0 })

	s.Set(s.Context(), "k", "old", 30*time.Minute)
	if v := s.get(a, "k", func(ctx context.Context) (string, error) { cache.DoNotStore(ctx); return "v", nil }); v != "v" {
		t.Error(v)
	}
	if v := s.Get(s.Context(), "k").Val(); v != "old" {
		t.Errorf("the old value became %q", v)
	}
}

func TestSetStoresAndIsSeenByWhoWaits(t *testing.T) {
	s := start(t)
	c, other := s.cache(nearly(10)), s.cache(cache.Options{Codec: cache.Bytes})
	g := newGate()
	first := s.fetch(s.Context(), c, "k", g.load)
	<-g.called
	waiting := s.fetch(s.Context(), other, "k", never(t))
	s.waiters("k", 1)
	if err := c.Set(s.Context(), "k", "set", time.Minute); err != nil {
		t.Fatal(err)
	}
	if r := <-waiting; r.value != "set" {
		t.Error(r)
	}
	if v := s.get(c, "k", never(t)); v != "set" {
		t.Error(v)
	}
	g.answer <- result{"late", nil}
	<-first
	if v := s.Get(s.Context(), "k").Val(); v != "set" {
		t.Errorf("%q is stored", v)
	}
	if ttl := s.PTTL(s.Context(), "k").Val(); ttl > time.Minute || ttl < 50*time.Second {
		t.Error(ttl)
	}
	s.isNear(c, "k", "set")
	if err := c.Set(s.Context(), "k", "again", 0); err != nil {
		t.Fatal(err)
	}
	if v := s.get(c, "k", never(t)); v != "again" {
		t.Errorf("after Set the same process got %q", v)
	}
}

func TestPeekLoadsNothing(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, Near: cache.NearOptions{Size: 10}})
	peek := func(key, value string, there bool) {
		t.Helper()
		if v, ok, err := c.Peek(s.Context(), key); v != value || ok != there || err != nil {
			t.Errorf("%s: %q, %v, %v", key, v, ok, err)
		}
	}
	peek("k", "", false)
	s.do("CACHE.SETNIL", "nothing", 60000)
	peek("nothing", "", false)
	s.Set(s.Context(), "k", "v", time.Hour)
	peek("k", "v", true)
	s.isNear(c, "k", "v")
	peek("k", "v", true)
	if s.Do(s.Context(), "CACHE.INFO", "never asked for").Val() != nil {
		t.Error("a lease is left")
	}
	s.RPush(s.Context(), "list", "x")
	if _, _, err := c.Peek(s.Context(), "list"); err == nil || !strings.Contains(err.Error(), "not the cache's") {
		t.Error(err)
	}
}

func TestCachesWithPrefixesDoNotMeet(t *testing.T) {
	s := start(t)
	o := nearly(10)
	o.Prefix = "a:"
	a := s.cache(o)
	o.Prefix = "b:"
	b := s.cache(o)
	s.get(a, "k", loads("of a"))
	s.get(b, "k", loads("of b"))
	s.isNear(a, "k", "of a")
	s.isNear(b, "k", "of b")
	if v := s.Get(s.Context(), "a:k").Val(); v != "of a" {
		t.Error(v)
	}
	s.do("SET", "a:k", "changed")
	s.becomes(a, "k", "changed")
	if err := b.Invalidate(s.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if n := s.Exists(s.Context(), "b:k").Val(); n != 0 {
		t.Error("it is there still")
	}
	s.get(a, "k", never(t))
}

func TestInvalidatingAThousandKeysIsFewRoundTrips(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes})
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprint("k", i))
		s.Set(s.Context(), keys[i], "v", time.Hour)
	}
	s.ConfigResetStat(s.Context())
	if err := c.Invalidate(s.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	if n := s.DBSize(s.Context()).Val(); n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := s.Calls("cache.del"); n > 4 {
		t.Errorf("%d commands", n)
	}

	cluster := holdfasttest.Cluster(t, 3, 0)
	over := patient(cluster.Client(), cache.Options{Codec: cache.Bytes})
	defer over.Close()
	for i := range 100 {
		cluster.Client().Set(s.Context(), keys[i], "v", time.Hour)
	}
	if err := over.Invalidate(s.Context(), keys[:100]...); err != nil {
		t.Fatal(err)
	}
	for _, node := range cluster.Nodes {
		if n := node.Client().DBSize(s.Context()).Val(); n != 0 {
			t.Errorf("%d are left", n)
		}
	}
}

func TestAnInvalidationThatFailsIsHandedOver(t *testing.T) {
	s := start(t)
	var failed []string
	c := s.cache(cache.Options{Outage: 50 * time.Millisecond, OnInvalidateError: func(keys []string, err error) {
		failed = append(failed, keys...)
	}})
	s.RPush(s.Context(), "list", "x") // no value: CACHE.DEL refuses it, alone or among others
	s.Kill()
	if err := c.Invalidate(s.Context(), "a", "b"); err == nil || !strings.Contains(err.Error(), "1 more") || len(failed) != 2 {
		t.Errorf("%v; %v", err, failed)
	}
	s.Restart()
	s.Until("it works again", func() bool { return c.Invalidate(s.Context(), "a", "b") == nil })
}

func TestStatsCountEachCallOnce(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour, Near: cache.NearOptions{Size: 10}})
	s.get(c, "k", loads("v")) // a miss, one load
	s.isNear(c, "k", "v")     // some hits, and near ones
	_, _ = c.Fetch(s.Context(), "e", func(context.Context) (string, error) { return "", errors.New("oops") })
	s.Set(s.Context(), "old", "old", 30*time.Minute)
	_, _ = c.Fetch(s.Context(), "old", func(context.Context) (string, error) { return "", errors.New("oops") })
	g := newGate()
	first := s.fetch(s.Context(), c, "shared", g.load)
	<-g.called
	second := s.fetch(s.Context(), c, "shared", never(t))
	s.Until("two share it", func() bool { return cache.Callers(c, "shared") == 2 })
	g.answer <- result{"v", nil}
	<-first
	<-second
	n := c.Stats()
	if n.Misses != 2 || n.Loads != 4 || n.LoadErrors != 2 || n.Failed != 1 || n.Stale != 1 || n.Coalesced != 1 || n.NearHits == 0 || n.Hits == 0 || n.RedisErrors != 0 {
		t.Errorf("%+v", n)
	}
}

func TestNoMoreBytesThanSoManyAreNear(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, TTL: 2 * forever, Near: cache.NearOptions{MaxBytes: 10_000, MaxAge: forever}})
	value := strings.Repeat("v", 900)
	s.get(c, "first", loads(value))
	s.isNear(c, "first", value)
	for i := range 100 {
		key := fmt.Sprint("k", i)
		s.get(c, key, loads(value))
		s.get(c, key, loads(value))
	}
	if n, _ := cache.Near(c); n < 5 || n > 10 {
		t.Errorf("%d are near", n)
	}
	s.get(c, "large", loads(strings.Repeat("v", 20_000)))
	s.get(c, "large", never(t))
	if n, _ := cache.Near(c); n < 5 {
		t.Errorf("%d are near", n)
	}
}
