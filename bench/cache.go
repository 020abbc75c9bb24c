package main

import (
	"context"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"
	"golang.org/x/sync/singleflight"

	"holdfast/bench/internal/result"
	"holdfast/cache"
)

// body is a value as it may be cached.
var body = strings.Repeat("v", 1024)

// cacheHit: reading a value of 1 KB through the cache.
func cacheHit(b *Bench) error {
	s, err := module("cachelock")
	if err != nil {
		return err
	}
	defer s.Close()
	hitsByCommands(b, s)
	return hitsByClients(b, s)
}

// hitsByCommands: beside GET, on one connection.
func hitsByCommands(b *Bench, s *Server) {
	do(s, "SET", "page", body)
	get, cacheGet, fetch := []string{"GET", "page"}, []string{"CACHE.GET", "page"}, []string{"CACHE.FETCH", "page", "5000", "10000", "BLOCK", "0"}
	throughput := func(words []string) func() float64 {
		return func() float64 {
			n := b.size(1000)
			return float64(n) / s.repeat(n, words...).Seconds()
		}
	}
	cpu := func(words []string) func() float64 {
		return func() float64 {
			n := b.size(500_000)
			return s.cpuEach(n, func() { s.load(n, 100, func(int) []string { return words }) })
		}
	}
	b.Closely(50, "CACHE.GET, pipeline of 1", "per s", "GET", AtLeast(0.95), throughput(cacheGet), throughput(get))
	b.Closely(50, "CACHE.FETCH hit, pipeline of 1", "per s", "GET", AtLeast(0.9), throughput(fetch), throughput(get))
	f := b.Compare("CACHE.GET, pipeline of 100", "µs of all the server's CPU", "GET", nil, cpu(cacheGet), cpu(get))
	b.Above("CACHE.GET above GET", "µs of all the server's CPU", AtMost(0.3), f)
	b.Compare("CACHE.FETCH hit, pipeline of 100", "µs of all the server's CPU", "GET", nil, cpu(fetch), cpu(get))
}

// hitsByClients: through the Go clients, one after the other by one goroutine,
// over a thousand keys that are all there.
func hitsByClients(b *Bench, s *Server) error {
	const keys = 1000
	for i := range keys {
		do(s, "SET", page(i), body)
	}
	rdb := s.alone()
	defer rdb.Close()
	ours := cache.New[string](rdb, cache.Options{Codec: cache.Bytes, TTL: time.Hour})
	defer ours.Close()
	shared := cache.New[string](s.Client, cache.Options{Codec: cache.Bytes, TTL: time.Hour})
	defer shared.Close()
	aside, err := s.aside(10*time.Second, 64<<20)
	if err != nil {
		return err
	}
	defer aside.Close()
	var flights singleflight.Group
	never := func(context.Context) (string, error) { panic("the value is there") }
	type hits struct {
		took     []float64
		commands float64
	}
	n := b.size(10_000)
	measure := func(name string, get func(key string) (string, error)) side[hits] {
		op := func(i int) {
			if v, err := get(page(i % keys)); err != nil || len(v) != len(body) {
				fail(err)
			}
		}
		for i := range keys {
			op(i)
		}
		return side[hits]{name, func() (h hits) {
			before := s.commands()
			h.took = latencies(n, op)
			h.commands = (s.commands() - before) / float64(n)
			return h
		}}
	}
	sides := []side[hits]{
		measure("ours", func(key string) (string, error) { return ours.Fetch(bg, key, never) }),
		measure("go-redis GET", func(key string) (string, error) { return rdb.Get(bg, key).Result() }),
		measure("go-redis GET in singleflight", func(key string) (string, error) {
			v, err, _ := flights.Do(key, func() (any, error) { return rdb.Get(bg, key).Result() })
			return v.(string), err
		}),
		measure("rueidisaside, from its local copy", func(key string) (string, error) {
			return aside.Get(bg, time.Hour, key, func(ctx context.Context, _ string) (string, error) { return never(ctx) })
		}),
	}
	results := contest(b, b.Pairs(), sides)
	for _, p := range percentiles {
		beside(b, "cache.Fetch of a value that is there, "+p.name, "µs", nil, sides, results, func(h hits) float64 { return result.Quantile(h.took, p.q) })
	}
	many := b.size(20_000)
	b.Closely(5, "cache.Fetch of a value that is there, 20 goroutines", "per s", "go-redis GET", AtLeast(0.9),
		func() float64 {
			return ops(many, func(i int) { _, err := shared.Fetch(bg, page(i%keys), never); must(err) })
		},
		func() float64 { return ops(many, func(i int) { must(s.Get(bg, page(i%keys)).Err()) }) })
	beside(b, "commands per cache.Fetch", "", nil, sides, results, func(h hits) float64 { return h.commands })
	return nil
}

// aside is a client of rueidisaside that keeps so many bytes of copies. The marker
// of one that died ends after ttl.
func (s *Server) aside(ttl time.Duration, copies int) (rueidisaside.CacheAsideClient, error) {
	return rueidisaside.NewClient(rueidisaside.ClientOption{ClientTTL: ttl, ClientOption: rueidis.ClientOption{
		InitAddress: []string{s.Addr}, PipelineMultiplex: -1, DisableRetry: true,
		// Thousands are to fit into one process.
		RingScaleEachConn: 4, ReadBufferEachConn: 4096, WriteBufferEachConn: 1024, CacheSizeEachConn: copies,
	}})
}
