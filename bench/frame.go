package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/redisserver"
)

func init() {
	experiments = append(experiments,
		experiment{"1 cost of Go", costOfGo},
		experiment{"2 cost of a lock", costOfALock},
		experiment{"3 tax on other traffic", tax},
		experiment{"4 start and memory", startAndMemory})
}

const owner = "owner-0123456789"

// costOfGo: a command that does nothing, in C and in Go, in one server.
func costOfGo(b *Bench) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := build(dir, "cnoop")
	if err != nil {
		return err
	}
	probe, err := build(dir, "probe")
	if err != nil {
		return err
	}
	s, err := start([]string{c, probe})
	if err != nil {
		return err
	}
	defer s.Close()
	cpu := func(command string) func() float64 {
		return func() float64 {
			s.resetStats()
			s.load(b.size(300_000), 100, func(int) []string { return []string{command} })
			return s.cpuPerCall(command)
		}
	}
	row := b.Compare("no-op", "µs of server CPU", "in C", nil, cpu("probe.noop"), cpu("cnoop.noop"))
	b.add(Row{Name: "no-op, Go above C", Unit: "µs", Ours: Stat{Median: row.Ours.Median - row.Theirs.Median,
		Min: row.Ours.Min - row.Theirs.Min, Max: row.Ours.Max - row.Theirs.Max}}, []Goal{AtMost(0.15)})
	return nil
}

func (b *Bench) size(n int) int {
	if b.Quick {
		return n / 5
	}
	return n
}

// costOfALock: an uncontended acquire on fresh names, beside what people write
// today: SET NX PX, the same in a script, and the same as a module in C.
func costOfALock(b *Bench) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := build(dir, "cnoop")
	if err != nil {
		return err
	}
	s, err := holdfast("--loadmodule", c)
	if err != nil {
		return err
	}
	defer s.Close()
	sha := s.ScriptLoad(context.Background(), `if redis.call('HSETNX',KEYS[1],'owner',ARGV[1])==1 then
		redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1 end return 0`).Val()
	names := make([]string, b.size(100_000))
	for i := range names {
		names[i] = "lock:" + strconv.Itoa(i)
	}
	cpu := func(each bool, stat string, words ...string) func() float64 {
		return func() float64 {
			s.run("FLUSHALL")
			s.resetStats()
			command := func(i int) []string {
				cmd := append([]string{}, words...)
				for k, w := range cmd {
					if w == "NAME" {
						cmd[k] = names[i]
					}
				}
				return cmd
			}
			if each {
				s.loadEach(len(names), 20, command)
			} else {
				s.load(len(names), 100, command)
			}
			return s.cpuPerCall(stat)
		}
	}
	peers := []struct {
		name, stat string
		goals      []Goal // as clients lock: a request each
		words      []string
	}{
		{"SET NX PX", "set", []Goal{AtMost(1.8)}, []string{"SET", "NAME", owner, "NX", "PX", "600000"}},
		{"EVALSHA, same effect", "evalsha", []Goal{AtMost(0.8)}, []string{"EVALSHA", sha, "1", "NAME", owner, "600000"}},
		{"in C", "cnoop.acquire", nil, []string{"CNOOP.ACQUIRE", "NAME", owner, "600000"}},
	}
	for _, each := range []bool{true, false} {
		name := "LOCK.ACQUIRE, 20 clients, one at a time each"
		if !each {
			name = "LOCK.ACQUIRE, one client, pipeline of 100"
		}
		for _, p := range peers {
			goals := p.goals
			if !each {
				goals = nil
			}
			b.Compare(name, "µs of server CPU", p.name, goals,
				cpu(each, "lock.acquire", "LOCK.ACQUIRE", "NAME", owner, "600000"), cpu(each, p.stat, p.words...))
		}
	}
	return nil
}

// tax: what commands of no module cost with the modules loaded.
func tax(b *Bench) error {
	with, err := holdfast()
	if err != nil {
		return err
	}
	defer with.Close()
	without, err := start(nil)
	if err != nil {
		return err
	}
	defer without.Close()
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = "key:" + strconv.Itoa(i)
	}
	value := strings.Repeat("v", 64)
	for _, words := range [][]string{{"SET", "KEY", value}, {"GET", "KEY"}, {"DEL", "KEY"}, {"LPUSH", "list", value}, {"XADD", "stream", "*", "f", value}} {
		throughput := func(s *Server) func() float64 {
			return func() float64 {
				if words[0] != "GET" {
					s.run("FLUSHALL")
				}
				if words[0] == "DEL" {
					s.load(len(keys), 100, func(i int) []string { return []string{"SET", keys[i], value} })
				}
				n := b.size(500_000)
				took := s.load(n, 100, func(i int) []string {
					if words[1] != "KEY" {
						return words
					}
					cmd := append(make([]string, 0, 3), words...)
					cmd[1] = keys[i%len(keys)]
					return cmd
				})
				return float64(n) / took.Seconds()
			}
		}
		goals := []Goal{AtLeast(0.98)}
		if words[0] == "LPUSH" || words[0] == "XADD" {
			goals = nil
		}
		b.Compare(words[0]+" with the modules loaded", "per s", "without", goals, throughput(with), throughput(without))
	}
	return nil
}

// startAndMemory: how much later a server is ready, and how large it is.
func startAndMemory(b *Bench) error {
	ready := func(start func() (*Server, error)) func() float64 {
		return func() float64 {
			began := time.Now()
			s, err := start()
			if err != nil {
				fail(err)
			}
			defer s.Close()
			return float64(time.Since(began).Microseconds()) / 1000
		}
	}
	row := b.Compare("ready", "ms", "without modules", nil,
		ready(func() (*Server, error) { return holdfast() }), ready(func() (*Server, error) { return start(nil) }))
	b.add(Row{Name: "ready later by", Unit: "ms", Ours: Stat{Median: row.Ours.Median - row.Theirs.Median,
		Min: row.Ours.Min - row.Theirs.Min, Max: row.Ours.Max - row.Theirs.Max}}, []Goal{AtMost(100)})
	modules, err := redisserver.Modules()
	if err != nil {
		return err
	}
	row = b.Compare("resident, as a daemon", "MB", "without modules", nil, daemonRSS(modules), daemonRSS(nil))
	b.add(Row{Name: "resident with the modules", Unit: "MB", Ours: row.Ours}, []Goal{AtMost(12)})
	return nil
}

// daemonRSS starts a server as it runs in earnest, in the background, and
// answers its resident memory in MB, as the kernel adds it up exactly.
func daemonRSS(modules []string) func() float64 {
	return func() float64 {
		dir, err := os.MkdirTemp("", "bench-")
		if err != nil {
			fail(err)
		}
		defer os.RemoveAll(dir)
		pidfile := filepath.Join(dir, "pid")
		args := []string{"--port", "0", "--unixsocket", filepath.Join(dir, "sock"), "--save", "", "--dir", dir, "--daemonize", "yes", "--pidfile", pidfile}
		for _, m := range modules {
			args = append(args, "--loadmodule", m)
		}
		if out, err := exec.Command("redis-server", args...).CombinedOutput(); err != nil {
			fail(fmt.Errorf("redis-server: %w\n%s", err, out))
		}
		c := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(dir, "sock"), MaxRetries: 100, DisableIdentity: true})
		defer c.Close()
		if err := c.Ping(context.Background()).Err(); err != nil {
			fail(err)
		}
		text, _ := os.ReadFile(pidfile)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			fail(err)
		}
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			fail(err)
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		_, after, _ := strings.Cut(string(rollup), "Rss:")
		kb, _ := strconv.ParseFloat(strings.Fields(after)[0], 64)
		return kb * 1024 / 1e6
	}
}
