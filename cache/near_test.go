package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/holdfasttest"
)

// forever is a life that no test sees the end of: what is gone before was told.
const forever = time.Hour

func nearly(size int) cache.Options {
	return cache.Options{Codec: cache.Bytes, TTL: 2 * forever, Near: cache.NearOptions{Size: size, MaxAge: forever}}
}

func (s *server) get(c *cache.Cache[string], key string, load loader) string {
	s.T.Helper()
	v, err := c.Fetch(s.Context(), key, load)
	if err != nil {
		s.T.Fatal(err)
	}
	return v
}

// isNear fetches a key until the server is not asked for it.
func (s *server) isNear(c *cache.Cache[string], key, value string) {
	s.T.Helper()
	s.Until(key+" is near", func() bool {
		before := s.Calls("cache.fetch")
		load := func(context.Context) (string, error) { return value, nil } // after an outage
		if v := s.get(c, key, load); v != value {
			s.T.Fatalf("%s is %q, not %q", key, v, value)
		}
		return s.Calls("cache.fetch") == before
	})
}

// becomes waits until a fetch gives a value, which it has to without any life's end.
func (s *server) becomes(c *cache.Cache[string], key, value string) {
	s.T.Helper()
	s.Until(fmt.Sprintf("%s is %q", key, value), func() bool {
		return s.get(c, key, func(context.Context) (string, error) { return value, nil }) == value
	})
}

func (s *server) do(args ...any) {
	s.T.Helper()
	if err := s.Do(s.Context(), args...).Err(); err != nil && err != redis.Nil {
		s.T.Fatal(args, err)
	}
}

func TestWhatIsNearIsAskedOfNobody(t *testing.T) {
	s := start(t)
	c := s.cache(nearly(10))
	s.do("SET", "k", "v", "EX", 3600)
	s.isNear(c, "k", "v")
	s.do("CACHE.SETNIL", "nothing", 3600000)
	s.Until("that there is nothing is near", func() bool {
		before := s.Calls("cache.fetch")
		if _, err := c.Fetch(s.Context(), "nothing", never(t)); !errors.Is(err, cache.ErrNotFound) {
			t.Fatal(err)
		}
		return s.Calls("cache.fetch") == before
	})
	if n, _ := cache.Near(c); n != 2 {
		t.Errorf("%d are near", n)
	}
}

func TestWhatIsChangedByAnyCommandIsNotNearAnyMore(t *testing.T) {
	s := start(t)
	c, other := s.cache(nearly(10)), s.cache(cache.Options{Codec: cache.Bytes})
	for i, change := range []func(){
		func() { s.do("SET", "k", "new") },
		func() { s.do("APPEND", "k", "x"); s.do("SETRANGE", "k", 0, "new"); s.do("SET", "k", "new") },
		func() { s.do("DEL", "k") },
		func() { s.do("UNLINK", "k") },
		func() { s.do("SET", "new", "new"); s.do("RENAME", "new", "k") },
		func() { s.do("CACHE.SET", "k", "new", 3600000) },
		func() { s.do("CACHE.DEL", "k") },
		func() { s.do("PEXPIRE", "k", 1) },
		func() { s.do("FLUSHALL") },
		func() { s.do("FLUSHDB") },
		func() { s.do("EVAL", "redis.call('SET', KEYS[1], 'new')", 1, "k") },
		func() {
			if err := other.Invalidate(s.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s.do("SET", "k", fmt.Sprint("old", i), "EX", 3600)
		s.becomes(c, "k", fmt.Sprint("old", i))
		s.isNear(c, "k", fmt.Sprint("old", i))
		change()
		s.becomes(c, "k", "new")
	}
}

// Writers and readers of many processes at once. A process that invalidates reads
// nothing older afterwards, whoever read the old value meanwhile. The others come to
// read the last value, with nothing but the server's word for it.
func TestNobodyReadsWhatIsOlderThanAnInvalidationLets(t *testing.T) {
	s := start(t)
	const processes, readers, rounds, keys = 3, 3, 400, 3
	var source [keys]atomic.Int64
	var longest atomic.Int64
	type process struct{ c *cache.Cache[string] }
	var all []process
	for range processes {
		all = append(all, process{s.cache(nearly(keys))})
	}
	version := func(c *cache.Cache[string], k int) int64 {
		n, _ := strconv.ParseInt(s.get(c, fmt.Sprint("k", k), func(context.Context) (string, error) {
			return fmt.Sprint(source[k].Load()), nil
		}), 10, 64)
		return n
	}
	over := make(chan struct{})
	var reading, writing sync.WaitGroup
	for _, p := range all {
		for range readers {
			reading.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					k := rand.N(keys)
					began, floor := time.Now(), source[k].Load()
					for version(p.c, k) < floor { // how long until it is as new as that
						if time.Since(began) > testTime {
							t.Errorf("still older than %d", floor)
							return
						}
					}
					longest.Store(max(longest.Load(), int64(time.Since(began))))
				}
			})
		}
	}
	for _, p := range all {
		writing.Go(func() {
			for range rounds {
				k := rand.N(keys)
				mine := source[k].Add(1)
				if err := p.c.Invalidate(s.Context(), fmt.Sprint("k", k)); err != nil {
					t.Error(err)
					return
				}
				if got := version(p.c, k); got < mine {
					t.Errorf("after an invalidation at %d the same process read %d", mine, got)
				}
			}
		})
	}
	writing.Wait()
	close(over)
	reading.Wait()
	for _, p := range all {
		for k := range keys {
			s.becomes(p.c, fmt.Sprint("k", k), fmt.Sprint(source[k].Load()))
		}
	}
	t.Logf("a reader was outdated for %v at most", time.Duration(longest.Load()))
}

func TestALostTrackingConnectionLeavesNothingNear(t *testing.T) {
	s := start(t)
	c := s.cache(nearly(10))
	for i := range 10 {
		old, new := fmt.Sprint("old", i), fmt.Sprint("new", i)
		s.do("SET", "k", old, "EX", 3600)
		s.becomes(c, "k", old)
		s.isNear(c, "k", old)
		// In one step: nobody is left who could be told of the change.
		pipe := s.TxPipeline()
		pipe.ClientKillByFilter(s.Context(), "ID", s.tracking())
		pipe.Set(s.Context(), "k", new, forever)
		if _, err := pipe.Exec(s.Context()); err != nil {
			t.Fatal(err)
		}
		s.becomes(c, "k", new)
		s.isNear(c, "k", new) // and it comes back
	}
}

// tracking is the connection that is told of changes.
func (s *server) tracking() (id string) {
	s.Until("a connection tracks", func() bool {
		for line := range strings.SplitSeq(s.ClientList(s.Context()).Val(), "\n") {
			_, flags, _ := strings.Cut(line, " flags=")
			flags, _, _ = strings.Cut(flags, " ")
			if strings.Contains(flags, "B") {
				id, _, _ = strings.Cut(strings.TrimPrefix(line, "id="), " ")
			}
		}
		return id != ""
	})
	return id
}

func TestNothingIsNearWhileTheServerIsDown(t *testing.T) {
	s := start(t)
	c := s.cache(nearly(10))
	s.do("SET", "k", "v", "EX", 3600)
	s.isNear(c, "k", "v")
	s.Kill()
	s.Until("it is not near", func() bool { n, up := cache.Near(c); return n == 0 && !up })
	s.becomes(c, "k", "loaded")
	s.Restart()
	s.do("SET", "k", "again", "EX", 3600)
	s.becomes(c, "k", "again")
	s.isNear(c, "k", "again")
}

// mute is a network that swallows what the server says on the tracking connection.
type mute struct {
	net.Conn
	on       *atomic.Bool
	tracking atomic.Bool
}

func (m *mute) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("TRACKING")) {
		m.tracking.Store(true)
	}
	return m.Conn.Write(b)
}

func (m *mute) Read(b []byte) (int, error) {
	for {
		n, err := m.Conn.Read(b)
		if err != nil || !m.tracking.Load() || !m.on.Load() {
			return n, err
		}
	}
}

func TestWhenTheServersWordIsSwallowedNothingIsNearForLong(t *testing.T) {
	s := start(t)
	var on atomic.Bool
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &mute{Conn: conn, on: &on}, err
	}})
	c := cache.New[string](rdb, nearly(10))
	defer rdb.Close()
	defer c.Close()
	s.do("SET", "k", "old", "EX", 3600)
	s.isNear(c, "k", "old")
	on.Store(true)
	s.do("SET", "k", "new", "EX", 3600)
	if v := s.get(c, "k", never(t)); v != "old" {
		t.Error("it was told: this test tests nothing")
	}
	s.becomes(c, "k", "new")
	on.Store(false)
	s.isNear(c, "k", "new")
}

// A process that stood still has not heard what changed meanwhile.
func TestAProcessThatStoodStillAsksTheServer(t *testing.T) {
	s := start(t)
	c := s.cache(nearly(10))
	s.do("SET", "k", "v", "EX", 3600)
	s.isNear(c, "k", "v")
	cache.StandStill(c, 3*time.Second)
	before := s.Calls("cache.fetch")
	s.get(c, "k", never(t))
	if n := s.Calls("cache.fetch") - before; n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	s.isNear(c, "k", "v")
}

func TestNothingIsNearForLongerThanItLives(t *testing.T) {
	s := start(t)
	c := s.cache(nearly(10))
	s.do("DEBUG", "SET-ACTIVE-EXPIRE", 0) // nobody is told that it has expired
	s.do("SET", "k", "v", "PX", 300)
	s.get(c, "other", func(context.Context) (string, error) { return "v", nil })
	s.Until("a connection tracks", func() bool { _, up := cache.Near(c); return up })
	s.get(c, "k", func(context.Context) (string, error) { return "v", nil })
	s.becomes(c, "k", "loaded anew")

	o := nearly(10)
	o.Near.MaxAge = 20 * time.Millisecond
	c = s.cache(o)
	s.do("SET", "k2", "v", "EX", 3600)
	s.get(c, "k2", never(t))
	s.Until("a connection tracks", func() bool { _, up := cache.Near(c); return up })
	before := s.Calls("cache.fetch")
	s.Until("it is asked for again and again", func() bool { s.get(c, "k2", never(t)); return s.Calls("cache.fetch") > before+5 })
}

func TestNoMoreThanSoManyAreNearAndWhatIsAskedForStays(t *testing.T) {
	s := start(t)
	const size = 20
	c := s.cache(nearly(size))
	load := func(context.Context) (string, error) { return "v", nil }
	s.get(c, "hot", load)
	s.isNear(c, "hot", "v")
	before := s.Calls("cache.fetch")
	var asked atomic.Int64
	for i := range 500 {
		s.get(c, fmt.Sprint("cold", i), load) // loads it, and a second fetch makes it near
		s.get(c, fmt.Sprint("cold", i), load)
		s.get(c, "hot", load)
		asked.Add(2)
		if n, _ := cache.Near(c); n > size {
			t.Fatalf("%d are near", n)
		}
	}
	if n, _ := cache.Near(c); n != size {
		t.Errorf("%d are near in the end", n)
	}
	if more := int64(s.Calls("cache.fetch")-before) - asked.Load(); more > 0 {
		t.Errorf("what is asked for all the time had to make room %d times", more)
	}
}

func TestOnlyKeysWithThePrefixAreNear(t *testing.T) {
	s := start(t)
	o := nearly(10)
	o.Near.Prefix = "near:"
	c := s.cache(o)
	s.do("MSET", "near:k", "v", "far:k", "v")
	s.isNear(c, "near:k", "v")
	before := s.Calls("cache.fetch")
	for range 5 {
		s.get(c, "far:k", never(t))
	}
	if n := s.Calls("cache.fetch") - before; n != 5 {
		t.Errorf("the server was asked %d times", n)
	}
	s.do("SET", "near:k", "new")
	s.becomes(c, "near:k", "new")
}

func TestAConnectionThatNobodyNeedsIsGivenUp(t *testing.T) {
	s := start(t)
	c := s.cache(nearly(10))
	cache.SetIdle(c, 0)
	s.do("SET", "k", "v")
	s.isNear(c, "k", "v")
	s.Until("it is given up", func() bool { n, up := cache.Near(c); return n == 0 && !up })
	s.isNear(c, "k", "v")
}

func TestWithoutPermissionToTrackNothingIsNear(t *testing.T) {
	s := start(t)
	s.do("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-client|tracking")
	var log bytes.Buffer
	o := nearly(10)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "u", Password: "p"})
	defer rdb.Close()
	c := patient(rdb, o)
	s.do("SET", "k", "v")
	for range 5 {
		s.get(c, "k", never(t))
	}
	s.Until("it was refused", func() bool {
		return strings.Contains(s.Do(s.Context(), "ACL", "LOG").String(), "client|tracking")
	})
	s.get(c, "k", never(t))
	_ = c.Close()
	if text := log.String(); strings.Count(text, "NOPERM") != 1 {
		t.Errorf("the log says:\n%s", text)
	}
}

func TestValuesOfAClusterAreNear(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 3, 1)
	rdb := cluster.Client()
	c := patient(rdb, nearly(100))
	defer c.Close()
	const keys = 30
	key := func(i int) string { return fmt.Sprint("k", i) }
	set := func(value string) {
		for i := range keys {
			s.Until("the cluster takes it", func() bool {
				rdb.ReloadState(s.Context())
				return rdb.Set(s.Context(), key(i), value, forever).Err() == nil
			})
		}
	}
	allNear := func(value string) {
		s.Until("all are near", func() bool {
			for i := range keys {
				s.becomes(c, key(i), value)
			}
			n, up := cache.Near(c)
			return n == keys && up
		})
	}
	set("old")
	allNear("old")
	set("new")
	allNear("new")
	cluster.Primary(key(0)).Kill()
	set("newest")
	for i := range keys {
		s.becomes(c, key(i), "newest")
	}
	s.Until("all are near again", func() bool {
		for i := range keys {
			s.becomes(c, key(i), "newest")
		}
		n, _ := cache.Near(c)
		return n == keys
	})
}
