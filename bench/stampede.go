package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

func init() {
	experiments = append(experiments, experiment{"5 cache: stampede", cacheStampede})
}

const (
	callers  = 1000
	loadTime = 200 * time.Millisecond
)

// fetcher gets a value by whatever recipe, loading it if it has to.
type fetcher func(ctx context.Context, key string, load func() string) (string, error)

// cacheStampede: a thousand callers miss one key together; the load takes 200 ms
// and makes 1 KB. How often is it loaded, how many requests does that take, and
// how long after the load does each caller have the value? Each caller has its
// own connection, as if each were a process.
func cacheStampede(b *Bench) error {
	s, err := cacheServer()
	if err != nil {
		return err
	}
	defer s.Close()
	ctx := context.Background()
	ours, polling, tracking := s.ours(), s.polling(), s.tracking()
	defer tracking.close()
	for _, warm := range []func(int) fetcher{ours, polling, tracking.of} {
		s.stampede(ctx, warm) // every connection is made before it counts
	}
	type figure struct {
		name, unit string
		goals      []Goal
		of         func(outcome) float64
	}
	figures := []figure{
		{"loads", "", []Goal{{"= 1", func(r Row) bool { return r.Ours.Max == 1 }}}, func(o outcome) float64 { return float64(o.loads) }},
		{"requests per caller", "", nil, func(o outcome) float64 { return float64(o.requests) / callers }},
		{"wait after the load, p50", "ms", nil, func(o outcome) float64 { return o.wait(0.5) }},
		{"wait after the load, p99", "ms", []Goal{{"≤ 20 ms", func(r Row) bool { return r.Ours.Median <= 20 }}, {"below", func(r Row) bool { return value(r) < 1 }}},
			func(o outcome) float64 { return o.wait(0.99) }},
	}
	for _, peer := range []struct {
		name string
		of   func(int) fetcher
	}{{"polling every 25 ms", polling}, {"placeholder and client tracking", tracking.of}} {
		var us, them []outcome
		for range b.Pairs() {
			us, them = append(us, s.stampede(ctx, ours)), append(them, s.stampede(ctx, peer.of))
		}
		for _, f := range figures {
			i, k := -1, -1
			next := func(o []outcome, at *int) func() float64 {
				return func() float64 { *at++; return f.of(o[*at]) }
			}
			b.Compare(f.name, f.unit, peer.name, f.goals, next(us, &i), next(them, &k))
		}
	}
	return nil
}

type outcome struct {
	loads    int64
	requests int64
	waits    []float64 // ms, as they came
}

// wait is the quantile of the waits.
func (o outcome) wait(q float64) float64 {
	slices.Sort(o.waits)
	return o.waits[min(int(q*float64(len(o.waits))), len(o.waits)-1)]
}

// stampede lets all callers loose on a key that is not there.
func (s *Server) stampede(ctx context.Context, of func(int) fetcher) (o outcome) {
	s.run("DEL page")
	s.resetStats()
	var loads, loaded atomic.Int64
	value := strings.Repeat("v", 1024)
	load := func() string {
		loads.Add(1)
		time.Sleep(loadTime)
		loaded.CompareAndSwap(0, time.Now().UnixNano())
		return value
	}
	o.waits = make([]float64, callers)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range callers {
		fetch := of(i)
		all.Go(func() {
			<-begin
			got, err := fetch(ctx, "page", load)
			if err != nil || got != value {
				fail(fmt.Errorf("a caller got %d bytes, %v", len(got), err))
			}
			o.waits[i] = float64(time.Now().UnixNano()-loaded.Load()) / 1e6
		})
	}
	close(begin)
	all.Wait()
	o.loads, o.requests = loads.Load(), s.requests()
	return o
}

// requests is the number of commands since the statistics were reset.
func (s *Server) requests() int64 {
	n, _ := s.InfoMap(context.Background(), "stats").Result()
	var total int64
	_, _ = fmt.Sscan(n["Stats"]["total_commands_processed"], &total)
	return total
}

// conns is a connection for each caller.
func (s *Server) conns() []*redis.Conn {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: callers, DisableIdentity: true})
	all := make([]*redis.Conn, callers)
	for i := range all {
		all[i] = c.Conn()
	}
	return all
}

// ours: every caller a connection of its own, as if each were another process.
func (s *Server) ours() func(int) fetcher {
	conns := s.conns()
	return func(i int) fetcher {
		return func(ctx context.Context, key string, load func() string) (string, error) {
			reply, err := conns[i].Do(ctx, "CACHE.FETCH", key, 5000, 10000, "BLOCK", 0).Slice()
			if err != nil {
				return "", err
			}
			if reply[0] != "LOAD" {
				return reply[1].(string), nil
			}
			v := load()
			return v, conns[i].Do(ctx, "CACHE.SET", key, v, 60000, "TOKEN", reply[2]).Err()
		}
	}
}

// polling: whoever sets a lock key loads, the others look every 25 ms.
func (s *Server) polling() func(int) fetcher {
	conns := s.conns()
	release := redis.NewScript(`if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0`)
	return func(i int) fetcher {
		return func(ctx context.Context, key string, load func() string) (string, error) {
			for {
				if v, err := conns[i].Get(ctx, key).Result(); err != redis.Nil {
					return v, err
				}
				me := rand.Text()
				if won, err := conns[i].SetNX(ctx, "lock:"+key, me, 5*time.Second).Result(); err != nil {
					return "", err
				} else if won {
					v := load()
					if err := conns[i].Set(ctx, key, v, time.Minute).Err(); err != nil {
						return "", err
					}
					return v, release.Run(ctx, conns[i], []string{"lock:" + key}, me).Err()
				}
				time.Sleep(25 * time.Millisecond)
			}
		}
	}
}

// trackers are clients that put a placeholder at the key, and learn by client
// tracking that it was replaced: the way of rueidisaside.
type trackers struct{ clients []*tracker }

type tracker struct {
	rueidis.Client
	mu      sync.Mutex
	changed chan struct{} // closed at the next invalidation
}

func (s *Server) tracking() *trackers {
	t := &trackers{}
	for range callers {
		c := &tracker{changed: make(chan struct{})}
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{s.Addr}, PipelineMultiplex: -1, DisableRetry: true,
			// A thousand of them are to fit in one process.
			RingScaleEachConn: 4, ReadBufferEachConn: 4096, WriteBufferEachConn: 4096,
			OnInvalidations: func([]rueidis.RedisMessage) {
				c.mu.Lock()
				defer c.mu.Unlock()
				close(c.changed)
				c.changed = make(chan struct{})
			},
		})
		if err != nil {
			fail(err)
		}
		c.Client = client
		t.clients = append(t.clients, c)
	}
	return t
}

func (t *trackers) close() {
	for _, c := range t.clients {
		c.Close()
	}
}

func (t *trackers) of(i int) fetcher { return t.clients[i].fetch }

const placeholder = "loading:"

func (c *tracker) fetch(ctx context.Context, key string, load func() string) (string, error) {
	me := placeholder + rand.Text()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		v, err := c.DoCache(ctx, c.B().Get().Key(key).Cache(), time.Minute).ToString()
		if rueidis.IsRedisNil(err) {
			v, err = c.Do(ctx, c.B().Set().Key(key).Value(me).Nx().Get().PxMilliseconds(10_000).Build()).ToString()
			if rueidis.IsRedisNil(err) {
				v = load()
				return v, c.Do(ctx, c.B().Eval().Script(`if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end return 1`).
					Numkeys(1).Key(key).Arg(me, v, "60000").Build()).Error()
			}
			if err == nil && strings.HasPrefix(v, placeholder) {
				continue // now it is to be read, so that we hear of its end
			}
		}
		if err != nil || !strings.HasPrefix(v, placeholder) {
			return v, err
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
		}
	}
}
