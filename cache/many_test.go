package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cache"
	"holdfast/holdfasttest"
)

// source is a loader of batches that remembers what it was asked for.
type source struct {
	mu    sync.Mutex
	calls [][]string
	err   error
	wait  chan struct{} // if it is to wait
}

func (s *source) load(ctx context.Context, keys []string) (map[string]string, error) {
	s.mu.Lock()
	s.calls = append(s.calls, slices.Clone(keys))
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	values := map[string]string{}
	for _, key := range keys {
		if !strings.HasPrefix(key, "none") && !strings.HasPrefix(key, "bad") {
			values[key] = "v of " + key
		}
	}
	return values, s.err
}

func (s *source) asked() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.calls {
		n += len(call)
	}
	return n
}

func manyKeys(prefix string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(prefix, i))
	}
	return keys
}

func (s *server) fetchMany(c *cache.Cache[string], keys []string, load func(context.Context, []string) (map[string]string, error)) {
	s.T.Helper()
	values, err := c.FetchMany(s.Context(), keys, load)
	if err != nil {
		s.T.Fatal(err)
	}
	for _, key := range keys {
		want := "v of " + key
		if strings.HasPrefix(key, "none") {
			want = ""
		}
		if values[key] != want {
			s.T.Errorf("%s is %q", key, values[key])
		}
	}
}

func TestManyKeysAreAskedForTogetherAndLoadedByOneCall(t *testing.T) {
	s := start(t)
	for name, o := range map[string]cache.Options{"far": {}, "near": {Near: cache.NearOptions{Size: 1000}}, "stale": {StaleOnError: time.Hour}, "prefix": {Prefix: "p:"}} {
		c := s.cache(o)
		keys := append(manyKeys(name, 200), manyKeys("none"+name, 3)...)
		keys = append(keys, keys[0], keys[1]) // twice
		s.fetchMany(c, keys[:100], new(source).load)
		var src source
		s.fetchMany(c, keys, src.load)
		s.fetchMany(c, keys, src.load)
		if len(src.calls) != 1 || len(src.calls[0]) != 103 {
			t.Errorf("%s: %d calls, %d keys", name, len(src.calls), src.asked())
		}
		if v := s.get(c, name+"7", never(t)); v != "v of "+name+"7" {
			t.Errorf("Fetch: %q", v)
		}
		if _, err := c.Fetch(s.Context(), "none"+name+"1", never(t)); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("Fetch: %v", err)
		}
	}
}

func TestABatchWaitsForWhatOthersLoad(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{}), s.cache(cache.Options{})
	slow := source{wait: make(chan struct{})}
	var all sync.WaitGroup
	keys := manyKeys("k", 30)
	all.Go(func() { s.fetchMany(a, keys[:20], slow.load) })
	s.Until("it loads", func() bool { return slow.asked() == 20 })
	var here, elsewhere source
	all.Go(func() { s.fetchMany(a, keys[10:], here.load) })
	s.Until("it shares", func() bool { return cache.Callers(a, "k15") == 2 })
	all.Go(func() { s.fetchMany(b, keys, elsewhere.load) })
	single := s.fetch(s.Context(), a, "k3", never(t))
	s.Until("Fetch shares too", func() bool { return cache.Callers(a, "k3") == 2 })
	s.waiters("k3", 1)
	close(slow.wait)
	all.Wait()
	if r := <-single; r.value != "v of k3" {
		t.Error(r)
	}
	if n := here.asked() + elsewhere.asked(); n != 10 {
		t.Errorf("%d keys were loaded twice", n-10)
	}
}

func TestABatchThatFailsFailsItsKeysAlone(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{})
	oops := errors.New("oops")
	src := source{err: oops}
	values, err := c.FetchMany(s.Context(), []string{"a", "bad1", "bad2"}, src.load)
	if !errors.Is(err, oops) || !strings.Contains(err.Error(), "1 more") || len(values) != 1 || values["a"] != "v of a" {
		t.Errorf("%v, %v", values, err)
	}
	values, err = c.FetchMany(s.Context(), []string{"a"}, func(context.Context, []string) (map[string]string, error) { panic("oops") })
	if err != nil || values["a"] != "v of a" { // it is there
		t.Errorf("%v, %v", values, err)
	}
	_, err = c.FetchMany(s.Context(), []string{"b", "c"}, func(ctx context.Context, keys []string) (map[string]string, error) {
		return c.FetchMany(ctx, keys, new(source).load)
	})
	if !errors.Is(err, cache.ErrRecursiveLoad) {
		t.Error(err)
	}
}

func TestABatchKeepsOldValuesWhereLoadingFails(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, StaleOnError: time.Hour})
	s.Set(s.Context(), "bad1", "v of bad1", 30*time.Minute) // beyond its TTL
	s.Set(s.Context(), "bad2", "v of bad2", 90*time.Minute) // not due
	src := source{err: errors.New("oops")}
	for range 10 {
		s.fetchMany(c, []string{"bad1", "bad2"}, src.load)
	}
	if len(src.calls) != 1 {
		t.Errorf("%d loads", len(src.calls))
	}
}

func TestABatchThatNobodyWaitsForIsCancelled(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Lease: time.Hour, LoadTimeout: 2 * time.Hour})
	slow := source{wait: make(chan struct{})}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error)
	go func() { _, err := c.FetchMany(ctx, manyKeys("k", 20), slow.load); done <- err }()
	s.Until("it loads", func() bool { return slow.asked() == 20 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.fetchMany(s.cache(cache.Options{}), manyKeys("k", 20), new(source).load) // no lease is left
}

func TestWhileRedisIsSilentABatchIsLoadedWithoutIt(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Timeout: 200 * time.Millisecond})
	s.get(c, "first", loads("v"))
	s.stop()
	ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.FetchMany(ctx, manyKeys("short", 300), new(source).load); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 100*time.Millisecond+late {
		t.Errorf("it took %v", took)
	}
	var src source
	s.fetchMany(c, manyKeys("k", 300), src.load)
	if len(src.calls) != 1 {
		t.Errorf("%d loads", len(src.calls))
	}
	_ = c.Close()
}

func TestManyKeysOfAClusterAreLoadedByOneCall(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 3, 0)
	for _, o := range []cache.Options{{}, {Prefix: "near:", Near: cache.NearOptions{Size: 1000}}} {
		c := patient(cluster.Client(), o)
		var src source
		for range 3 {
			s.fetchMany(c, manyKeys("k", 100), src.load)
		}
		if len(src.calls) != 1 {
			t.Errorf("%d loads", len(src.calls))
		}
		_ = c.Close()
	}
}

func TestCompressedValuesAreSmallAndReadLikeOthers(t *testing.T) {
	s := start(t)
	plain := s.cache(cache.Options{Codec: cache.Bytes})
	c := s.cache(cache.Options{Codec: cache.Compress(cache.Bytes, 100)})
	long := strings.Repeat("long ", 1000)
	for key, value := range map[string]string{"long": long, "short": "short", "empty": "", "like gzip": "\x1f\x8b no gzip at all"} {
		s.get(c, key, loads(value))
		if v := s.get(c, key, never(t)); v != value {
			t.Errorf("%s is %q", key, v)
		}
	}
	if n := s.StrLen(s.Context(), "long").Val(); n > 200 {
		t.Errorf("%d bytes", n)
	}
	if v := s.get(plain, "short", never(t)); v != "short" {
		t.Error(v)
	}
	s.get(plain, "before", loads(long))
	if v := s.get(c, "before", never(t)); v != long {
		t.Error("what was stored before cannot be read")
	}
	s.Set(s.Context(), "broken", "\x1f\x8b broken", time.Hour)
	if v := s.get(c, "broken", loads("v")); v != "v" {
		t.Error(v)
	}
	var users []User
	data, err := cache.Compress(cache.JSON, 0).Marshal(make([]User, 100))
	if err == nil {
		err = cache.Compress(cache.JSON, 0).Unmarshal(data, &users)
	}
	if err != nil || len(users) != 100 || json.Valid(data) {
		t.Error(users, err)
	}
}
