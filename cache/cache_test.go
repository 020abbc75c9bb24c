package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

// testTime bounds every wait. It decides nothing: a test that needs it has failed.
const testTime = 30 * time.Second

// server is a server and what is asked of it beside the client that is tested.
type server struct{ *clienttest.Server }

// start starts a server, and checks at the end that no goroutine is left.
func start(t *testing.T, options ...holdfasttest.Option) *server {
	t.Helper()
	return &server{clienttest.Start(t, testTime, options...)}
}

// cache is a cache as users have it, of another "process".
func (s *server) cache(o cache.Options) *cache.Cache[string] {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, DialerRetries: 1})
	c := patient(rdb, o)
	s.T.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.T.Error(err)
		}
		_ = rdb.Close()
	})
	return c
}

// patient is a cache for which a busy machine is no silent server: only tests about silence
// are about Timeout.
func patient(rdb redis.UniversalClient, o cache.Options) *cache.Cache[string] {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	return cache.New[string](rdb, o)
}

func (s *server) waiters(key string, n int64) {
	s.T.Helper()
	s.Until(fmt.Sprintf("%d wait for %s", n, key), func() bool {
		reply, err := s.Do(s.Context(), "CACHE.INFO", key).Result()
		if err == redis.Nil {
			return n == 0
		}
		if err != nil {
			s.T.Fatal(err)
		}
		return reply.(map[any]any)["waiters"] == n
	})
}

// result is what a Fetch came to.
type result struct {
	value string
	err   error
}

type loader = func(context.Context) (string, error)

// fetch fetches beside the test.
func (s *server) fetch(ctx context.Context, c *cache.Cache[string], key string, load loader) <-chan result {
	r := make(chan result, 1)
	go func() {
		v, err := c.Fetch(ctx, key, load)
		r <- result{v, err}
	}()
	return r
}

// gate is a loader that says when it was called and returns when it is told.
type gate struct {
	called chan context.Context
	answer chan result
}

func newGate() *gate { return &gate{make(chan context.Context, 100), make(chan result, 100)} }

func (g *gate) load(ctx context.Context) (string, error) {
	g.called <- ctx
	select {
	case r := <-g.answer:
		return r.value, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func never(t *testing.T) loader {
	return func(context.Context) (string, error) {
		t.Error("a second load")
		return "second", nil
	}
}

func TestAValueIsLoadedOnceAndThenThere(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes})
	for _, load := range []loader{func(context.Context) (string, error) { return "v", nil }, never(t)} {
		if v, err := c.Fetch(s.Context(), "k", load); v != "v" || err != nil {
			t.Fatalf("%q, %v", v, err)
		}
	}
	if v := s.Get(s.Context(), "k").Val(); v != "v" {
		t.Errorf("GET: %q", v)
	}
	if ttl := s.PTTL(s.Context(), "k").Val(); ttl > time.Minute || ttl < 50*time.Second {
		t.Errorf("it lives %v", ttl)
	}
}

// While values are there they are asked for by CACHE.GET, and one that is not there is
// loaded all the same.
func TestWhatIsProbablyThereIsAskedForCheaply(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes})
	ahead := s.cache(cache.Options{Codec: cache.Bytes, RefreshAhead: time.Second})
	asked := func(what string, get, fetch int) {
		t.Helper()
		for command, want := range map[string]int{"cache.get": get, "cache.fetch": fetch} {
			_, after, _ := strings.Cut(s.Info(s.Context(), "commandstats").Val(), "cmdstat_"+command+":calls=")
			calls, _, _ := strings.Cut(after, ",")
			if n, _ := strconv.Atoi(calls); n != want {
				t.Errorf("%s: %d calls of %s, want %d", what, n, command, want)
			}
		}
		s.ConfigResetStat(s.Context())
	}
	s.Set(s.Context(), "k", "v", time.Hour)
	hits := func(c *cache.Cache[string], n int) {
		for range n {
			if v := s.get(c, "k", never(t)); v != "v" {
				t.Fatal(v)
			}
		}
	}
	hits(c, 20)
	asked("what is there", 4, 16)
	if v := s.get(c, "new", func(context.Context) (string, error) { return "n", nil }); v != "n" {
		t.Error(v)
	}
	asked("what is not", 1, 1)
	hits(c, 17)
	asked("after that", 1, 16)
	s.Do(s.Context(), "ACL", "SETUSER", "default", "-cache.get")
	hits(c, 40)
	asked("without the permission", 0, 40)
	s.Do(s.Context(), "ACL", "SETUSER", "default", "+cache.get")
	hits(ahead, 20)
	asked("where a value may be due to be refreshed", 0, 20)
}

func TestValuesStoredTogetherDoNotExpireTogether(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{TTL: time.Hour, Jitter: 0.5})
	shortest, longest := time.Hour, time.Duration(0)
	for i := range 50 {
		key := fmt.Sprint("k", i)
		s.get(c, key, func(context.Context) (string, error) { return "v", nil })
		ttl := s.PTTL(s.Context(), key).Val()
		shortest, longest = min(shortest, ttl), max(longest, ttl)
	}
	if shortest < 29*time.Minute || longest > time.Hour || longest-shortest < 10*time.Minute {
		t.Errorf("they live from %v to %v", shortest, longest)
	}
}

func TestOfAllWhoMissTogetherOneLoads(t *testing.T) {
	s := start(t)
	const processes, each = 5, 100
	g := newGate()
	var done sync.WaitGroup
	for range processes {
		c := s.cache(cache.Options{})
		for range each {
			done.Go(func() {
				if v, err := c.Fetch(s.Context(), "k", g.load); v != "v" || err != nil {
					t.Errorf("%q, %v", v, err)
				}
			})
		}
	}
	<-g.called
	s.waiters("k", processes-1) // one connection for each process that waits
	g.answer <- result{"v", nil}
	done.Wait()
	if n := len(g.called); n != 0 {
		t.Errorf("%d more loads", n)
	}
}

func TestACallersCancelDoesNotFailTheOthers(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{})
	g := newGate()
	ctx, cancel := context.WithCancel(s.Context())
	first := s.fetch(ctx, c, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), c, "k", never(t))
	s.Until("two share it", func() bool { return cache.Callers(c, "k") == 2 })
	cancel()
	if r := <-first; !errors.Is(r.err, context.Canceled) {
		t.Error(r)
	}
	g.answer <- result{"v", nil}
	if r := <-second; r.value != "v" || r.err != nil {
		t.Error(r)
	}
}

func TestALoadThatNobodyWaitsForIsSomebodyElses(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{Lease: time.Hour, LoadTimeout: 2 * time.Hour}), s.cache(cache.Options{})
	g := newGate()
	ctx, cancel := context.WithCancel(s.Context())
	first := s.fetch(ctx, a, "k", g.load)
	loading := <-g.called
	other := s.fetch(s.Context(), b, "k", func(context.Context) (string, error) { return "b's", nil })
	s.waiters("k", 1)
	cancel()
	<-first
	<-loading.Done()
	if r := <-other; r.value != "b's" || r.err != nil {
		t.Error(r)
	}
}

func TestAWaitThatIsCalledOffLeavesNoLease(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{Lease: time.Hour, LoadTimeout: 2 * time.Hour}), s.cache(cache.Options{Lease: time.Hour, LoadTimeout: 2 * time.Hour})
	for i := range 200 {
		key := fmt.Sprint("k", i)
		g := newGate()
		actx, acancel := context.WithCancel(s.Context())
		first := s.fetch(actx, a, key, g.load)
		<-g.called
		bctx, bcancel := context.WithCancel(s.Context())
		second := s.fetch(bctx, b, key, func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		if i%2 == 0 {
			s.waiters(key, 1)
		}
		acancel() // hands the load to b, at the moment in which b leaves
		time.AfterFunc(time.Duration(i)*3*time.Microsecond, bcancel)
		<-first
		<-second
		s.Until("no lease is left", func() bool { return s.Do(s.Context(), "CACHE.INFO", key).Err() == redis.Nil })
		bcancel()
	}
}

func TestALongLoadKeepsItsLease(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{Lease: 900 * time.Millisecond}), s.cache(cache.Options{})
	g := newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", never(t))
	s.Until("it was renewed five times", func() bool { return s.Calls("cache.extend") >= 5 })
	g.answer <- result{"v", nil}
	for _, r := range []result{<-first, <-second} {
		if r.value != "v" || r.err != nil {
			t.Error(r)
		}
	}
}

func TestALoadThatTakesTooLongIsCalledOff(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{LoadTimeout: 50 * time.Millisecond})
	_, err := c.Fetch(s.Context(), "k", newGate().load)
	if !errors.Is(err, cache.ErrLoadTimeout) {
		t.Error(err)
	}
	// The end of the caller's own context is something else.
	ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.cache(cache.Options{}).Fetch(ctx, "k2", newGate().load)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cache.ErrLoadTimeout) {
		t.Error(err)
	}
}

func TestAFailureIsTheLoadersOwnAndKnownToAllWhoWait(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{}), s.cache(cache.Options{})
	g := newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	oops := errors.New("no\r\nroute")
	g.answer <- result{"", oops}
	if r := <-first; !errors.Is(r.err, oops) {
		t.Error(r)
	}
	if r := <-second; !errors.Is(r.err, cache.ErrLoadFailed) || !strings.Contains(r.err.Error(), "no route") {
		t.Error(r)
	}
	_, err := a.Fetch(s.Context(), "k", func(context.Context) (string, error) { panic("oops") })
	if err == nil || !strings.Contains(err.Error(), "panicked: oops") {
		t.Error(err)
	}
	if v, err := a.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "v", nil }); v != "v" {
		t.Errorf("after failures: %v", err)
	}
}

func TestThatThereIsNothingIsRemembered(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{}), s.cache(cache.Options{})
	_, err := a.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "", fmt.Errorf("user 7: %w", cache.ErrNotFound) })
	if !errors.Is(err, cache.ErrNotFound) {
		t.Error(err)
	}
	if _, err := b.Fetch(s.Context(), "k", never(t)); !errors.Is(err, cache.ErrNotFound) {
		t.Error(err)
	}
	if err := b.Invalidate(s.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if v, err := a.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "v", nil }); v != "v" {
		t.Error(err)
	}
}

func TestALoadBegunBeforeAnInvalidationStoresNothing(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes})
	g := newGate()
	before := s.fetch(s.Context(), c, "k", g.load)
	<-g.called
	if err := c.Invalidate(s.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "new", nil }); v != "new" {
		t.Errorf("a call after the invalidation got %q, %v", v, err)
	}
	g.answer <- result{"old", nil}
	if r := <-before; r.value != "old" {
		t.Error(r)
	}
	if v := s.Get(s.Context(), "k").Val(); v != "new" {
		t.Errorf("%q is stored", v)
	}
}

func TestAValueIsRefreshedAheadInTheBackground(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, TTL: time.Hour, RefreshAhead: 59 * time.Minute, Jitter: -1})
	s.Set(s.Context(), "k", "old", 30*time.Minute)
	g := newGate()
	for range 3 { // one is told to load, and gets the old value as the others do
		if v, err := c.Fetch(s.Context(), "k", g.load); v != "old" || err != nil {
			t.Fatalf("%q, %v", v, err)
		}
	}
	<-g.called
	g.answer <- result{"new", nil}
	s.Until("the new one is there", func() bool { return s.Get(s.Context(), "k").Val() == "new" })
	if len(g.called) != 0 {
		t.Error("more than one refreshed it")
	}
	if v, _ := c.Fetch(s.Context(), "k", never(t)); v != "new" {
		t.Error(v)
	}
}

func TestAStaleValueIsBetterThanAnError(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes, TTL: time.Minute, StaleOnError: time.Hour, LoadBackoff: -1})
	oops := errors.New("oops")
	fails := func(context.Context) (string, error) { return "", oops }
	for _, old := range []string{"old", ""} { // an empty value is one
		s.Set(s.Context(), "k", old, 30*time.Minute) // half an hour beyond its TTL
		v, err := c.Fetch(s.Context(), "k", fails)
		if v != old || err != nil {
			t.Errorf("old %q, the loader failed: %q, %v", old, v, err)
		}
		v, err = c.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "new", nil })
		if v != "new" || err != nil {
			t.Errorf("old %q, the loader worked: %q, %v", old, v, err)
		}
		if ttl := s.PTTL(s.Context(), "k").Val(); ttl < 60*time.Minute || ttl > 61*time.Minute {
			t.Errorf("it is kept for %v", ttl)
		}
	}
	if v, err := c.Fetch(s.Context(), "nothing", fails); !errors.Is(err, oops) {
		t.Errorf("nothing was there: %q, %v", v, err)
	}
}

func TestWithoutRedisValuesAreLoadedBehindALimit(t *testing.T) {
	s := start(t)
	var log syncBuffer
	const limit = 3
	c := s.cache(cache.Options{MaxLoads: limit, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.Kill()
	var running, most atomic.Int32
	var done sync.WaitGroup
	for i := range 30 {
		done.Go(func() {
			v, err := c.Fetch(s.Context(), fmt.Sprint("k", i), func(context.Context) (string, error) {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond) // work
				running.Add(-1)
				return "v", nil
			})
			if v != "v" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		})
	}
	done.Wait()
	if most.Load() > limit {
		t.Errorf("%d loads at a time", most.Load())
	}
	s.Until("the log says so", func() bool { return strings.Contains(log.String(), "does not answer") })
	s.Restart()
	s.Until("values are kept again", func() bool {
		_, _ = c.Fetch(s.Context(), "again", func(context.Context) (string, error) { return "v", nil })
		return s.Exists(s.Context(), "again").Val() == 1
	})
	s.Until("the log says that too", func() bool { return strings.Contains(log.String(), "answers again") })
	if text := log.String(); strings.Count(text, "does not answer") != 1 || strings.Count(text, "answers again") != 1 {
		t.Errorf("the log says:\n%s", text)
	}
}

func TestAWaiterThatIsKilledGetsTheValue(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{}), s.cache(cache.Options{})
	g := newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	s.KillClients("flags=b")
	s.waiters("k", 1)
	g.answer <- result{"v", nil}
	for _, r := range []result{<-first, <-second} {
		if r.value != "v" || r.err != nil {
			t.Error(r)
		}
	}
}

func TestFetchAnswersWhileTheServerIsKilledAndRestarted(t *testing.T) {
	s := start(t)
	stop := make(chan struct{})
	var done sync.WaitGroup
	for range 3 {
		c := s.cache(cache.Options{TTL: 5 * time.Millisecond})
		for range 3 {
			done.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					v, err := c.Fetch(s.Context(), fmt.Sprint("k", i%3), func(context.Context) (string, error) {
						time.Sleep(time.Millisecond) // work
						return "v", nil
					})
					if v != "v" || err != nil {
						t.Errorf("%q, %v", v, err)
						return
					}
				}
			})
		}
	}
	for range 3 {
		s.Until("it is used", func() bool { return s.Calls("cache.set") > 10 })
		s.Kill()
		s.Restart()
	}
	close(stop)
	done.Wait()
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	s := start(t)
	a, b := s.cache(cache.Options{}), s.cache(cache.Options{})
	g := newGate()
	loading := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	waiting := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	_ = b.Close()
	_ = a.Close()
	for _, r := range []result{<-loading, <-waiting} {
		if !errors.Is(r.err, cache.ErrClosed) {
			t.Error(r)
		}
	}
	if _, err := a.Fetch(s.Context(), "k", never(t)); !errors.Is(err, cache.ErrClosed) {
		t.Error(err)
	}
}

func TestOptionsThatCannotBeMeantAreRefusedAtTheStart(t *testing.T) {
	for word, o := range map[string]cache.Options{
		"TTL":           {TTL: -1},
		"Timeout":       {Timeout: -1},
		"Near.MaxBytes": {Near: cache.NearOptions{MaxBytes: -1}},
		"Near.Prefix":   {Near: cache.NearOptions{Prefix: "user:"}},
		"Jitter":        {Jitter: 1.5},
		"RefreshAhead":  {TTL: time.Second, RefreshAhead: time.Second},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
		func() {
			defer func() {
				if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), word) {
					t.Errorf("%s: New: %v", word, p)
				}
			}()
			cache.New[string](rdb, o)
		}()
	}
	if err := (cache.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestAValueThatCannotBeDecodedIsLoadedAnew(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{})
	s.Set(s.Context(), "k", "no JSON", time.Hour)
	if v, err := c.Fetch(s.Context(), "k", func(context.Context) (string, error) { return "v", nil }); v != "v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}
