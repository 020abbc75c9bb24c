package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/redisserver"
)

func init() {
	experiments = append(experiments,
		experiment{"5 cache: a hit", cacheHit},
		experiment{"5 cache: leases", cacheLeases})
}

// cacheServer starts a server with the cache alone, and room for many clients.
func cacheServer() (*Server, error) {
	all, err := redisserver.Modules()
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		if filepath.Base(path) == "cachelock.so" {
			return start([]string{path}, "--maxclients", "12000")
		}
	}
	return nil, fmt.Errorf("no cachelock.so among %v", all)
}

// cacheHit: reading a value of 1 KB through the cache, beside GET.
func cacheHit(b *Bench) error {
	s, err := cacheServer()
	if err != nil {
		return err
	}
	defer s.Close()
	s.run("SET page " + strings.Repeat("v", 1024))
	get, cacheGet, fetch := []string{"GET", "page"}, []string{"CACHE.GET", "page"}, []string{"CACHE.FETCH", "page", "5000", "10000", "BLOCK", "0"}
	throughput := func(words []string) func() float64 {
		return func() float64 {
			n := b.size(100_000)
			return float64(n) / s.load(n, 1, func(int) []string { return words }).Seconds()
		}
	}
	cpu := func(words []string) func() float64 {
		return func() float64 {
			before := s.cpuTime()
			n := b.size(1_000_000)
			s.load(n, 100, func(int) []string { return words })
			return float64((s.cpuTime() - before).Microseconds()) / float64(n)
		}
	}
	b.Compare("CACHE.GET, pipeline 1", "per s", "GET", []Goal{AtLeast(0.95)}, throughput(cacheGet), throughput(get))
	b.Compare("CACHE.FETCH hit, pipeline 1", "per s", "GET", []Goal{AtLeast(0.9)}, throughput(fetch), throughput(get))
	row := b.Compare("CACHE.GET, all of the server's CPU", "µs", "GET", nil, cpu(cacheGet), cpu(get))
	b.add(Row{Name: "CACHE.GET above GET", Unit: "µs of server CPU", Ours: Stat{Median: row.Ours.Median - row.Theirs.Median,
		Min: row.Ours.Min - row.Theirs.Min, Max: row.Ours.Max - row.Theirs.Max}}, []Goal{AtMost(0.3)})
	b.Compare("CACHE.FETCH hit, all of the server's CPU", "µs", "GET", nil, cpu(fetch), cpu(get))
	return nil
}

// cpuTime is all the processor time the server has used, in user and kernel.
func (s *Server) cpuTime() time.Duration {
	var total float64
	for _, line := range strings.Split(s.Info(context.Background(), "cpu").Val(), "\r\n") {
		k, v, _ := strings.Cut(line, ":")
		if k == "used_cpu_sys" || k == "used_cpu_user" {
			seconds, _ := strconv.ParseFloat(v, 64)
			total += seconds
		}
	}
	return time.Duration(total * float64(time.Second))
}

// cacheLeases: what CACHE.LOCK costs, and a lease weighs, when there are many.
func cacheLeases(b *Bench) error {
	few, err := cacheServer()
	if err != nil {
		return err
	}
	defer few.Close()
	many, err := cacheServer()
	if err != nil {
		return err
	}
	defer many.Close()
	const million = 1_000_000
	lock := func(i int) []string { return []string{"CACHE.LOCK", page(i), "6000000", "6000000"} }
	few.load(1000, 100, lock)
	resident, held := many.resident(), many.held()
	many.load(million, 100, lock)
	b.add(Row{Name: "a lease of a million", Unit: "bytes held", Ours: one(float64(many.held()-held) / million)}, []Goal{AtMost(200)})
	b.add(Row{Name: "a lease of a million, just granted", Unit: "bytes resident", Ours: one(float64(many.resident()-resident) / million),
		Note: "with what the Go runtime has not given back yet"}, nil)

	// Leases that are granted and given back, so that their number stays.
	n := b.size(100_000)
	names := func(round int) func(i int) string {
		return func(i int) string { return page(2*million + round*n + i) }
	}
	round := 0
	granted := func(s *Server, measure func(depth int, name func(int) string) float64, depth int) func() float64 {
		return func() float64 {
			round++
			name := names(round)
			v := measure(depth, name)
			s.load(n, 100, func(i int) []string { return []string{"CACHE.DEL", name(i)} })
			return v
		}
	}
	alone := func(s *Server) func(int, func(int) string) float64 {
		return func(depth int, name func(int) string) float64 {
			took := s.load(n, depth, func(i int) []string { return []string{"CACHE.LOCK", name(i), "6000000", "6000000"} })
			return float64(took.Nanoseconds()) / 1000 / float64(n)
		}
	}
	cpu := func(s *Server) func(int, func(int) string) float64 {
		return func(depth int, name func(int) string) float64 {
			before := s.cpuTime()
			alone(s)(depth, name)
			return float64((s.cpuTime() - before).Microseconds()) / float64(n)
		}
	}
	b.Compare("CACHE.LOCK with 1,000,000 leases, pipeline 1", "µs", "with 1,000", []Goal{AtMost(1.3)},
		granted(many, alone(many), 1), granted(few, alone(few), 1))
	b.Compare("CACHE.LOCK with 1,000,000 leases, pipeline 100", "µs of server CPU", "with 1,000", nil,
		granted(many, cpu(many), 100), granted(few, cpu(few), 100))
	return nil
}

func page(i int) string { return fmt.Sprintf("page:%09d", i) }

func one(v float64) Stat { return Stat{v, v, v} }

// held is the memory of the leases: in Go, and in the server's own books, where
// their keys are watched.
func (s *Server) held() int64 {
	return s.infoInt("cachelock", "cachelock_lease_bytes") + s.infoInt("memory", "used_memory")
}

// infoInt is a number of INFO.
func (s *Server) infoInt(section, field string) int64 {
	for _, line := range strings.Split(s.Info(context.Background(), section).Val(), "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	fail(fmt.Errorf("INFO %s has no %s", section, field))
	return 0
}

// resident is the server's memory in the kernel's books.
func (s *Server) resident() int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.infoInt("server", "process_id")))
	if err != nil {
		fail(err)
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
