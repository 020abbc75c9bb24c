package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/redisserver"
)

// Server is a server under measurement.
type Server struct {
	*redisserver.Process
	*redis.Client
}

// start starts a server with the given modules; all three of ours for "".
func start(modules []string, args ...string) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{Modules: modules, Args: args})
	if err != nil {
		return nil, err
	}
	c := redis.NewClient(&redis.Options{Addr: p.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: 2000, DisableIdentity: true})
	return &Server{p, c}, nil
}

// holdfast starts a server with the three modules.
func holdfast(args ...string) (*Server, error) {
	modules, err := redisserver.Modules()
	if err != nil {
		return nil, err
	}
	return start(modules, args...)
}

// Close stops the server.
func (s *Server) Close() {
	_ = s.Client.Close()
	s.Stop()
}

// run sends a command given as words and gives up on an error.
func (s *Server) run(line string) any {
	var args []any
	for _, w := range strings.Fields(line) {
		args = append(args, w)
	}
	v, err := s.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		fail(fmt.Errorf("%s: %w", line, err))
	}
	return v
}

// cpuPerCall is the server's own time for a command in µs, from INFO
// commandstats, since the statistics were last reset.
func (s *Server) cpuPerCall(command string) float64 {
	_, after, found := strings.Cut(s.Info(context.Background(), "commandstats").Val(), "cmdstat_"+command+":")
	if !found {
		fail(fmt.Errorf("no statistics of %s", command))
	}
	var calls, usec float64
	for _, f := range strings.Split(strings.Split(after, "\r\n")[0], ",") {
		k, v, _ := strings.Cut(f, "=")
		switch n, _ := strconv.ParseFloat(v, 64); k {
		case "calls":
			calls = n
		case "usec":
			usec = n
		}
	}
	return usec / calls
}

func (s *Server) resetStats() { s.run("CONFIG RESETSTAT") }

// load sends n commands over one connection, depth at a time, and answers how
// long that took. The command is made anew for each by its number.
func (s *Server) load(n, depth int, command func(i int) []string) time.Duration {
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		fail(err)
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 1<<16)
	var buf []byte
	began := time.Now()
	for i := 0; i < n; i += depth {
		buf = buf[:0]
		for k := i; k < min(i+depth, n); k++ {
			words := command(k)
			buf = append(strconv.AppendInt(append(buf, '*'), int64(len(words)), 10), "\r\n"...)
			for _, w := range words {
				buf = append(strconv.AppendInt(append(buf, '$'), int64(len(w)), 10), "\r\n"...)
				buf = append(append(buf, w...), "\r\n"...)
			}
		}
		if _, err := conn.Write(buf); err != nil {
			fail(err)
		}
		for k := i; k < min(i+depth, n); k++ {
			if err := skip(in); err != nil {
				fail(fmt.Errorf("%q: %w", command(k), err))
			}
		}
	}
	return time.Since(began)
}

// loadEach shares n commands among so many connections, each of which sends its
// next when it has read the reply to its last.
func (s *Server) loadEach(n, conns int, command func(i int) []string) {
	var wg sync.WaitGroup
	for c := range conns {
		wg.Go(func() {
			mine := (n - c + conns - 1) / conns
			s.load(mine, 1, func(i int) []string { return command(c + i*conns) })
		})
	}
	wg.Wait()
}

// skip reads one reply; an error reply is an error.
func skip(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	n := 0
	switch line[0] {
	case '-':
		return fmt.Errorf("%s", line)
	case '$', '*':
		n, _ = strconv.Atoi(string(line[1 : len(line)-2]))
	default:
		return nil
	}
	if line[0] == '$' {
		if n >= 0 {
			_, err = r.Discard(n + 2)
		}
		return err
	}
	for range max(n, 0) {
		if err := skip(r); err != nil {
			return err
		}
	}
	return nil
}

// build compiles a C or Go module beside the peers and answers its path.
func build(dir, name string) (string, error) {
	so := dir + "/" + name + ".so"
	cmd := exec.Command("gcc", "-O2", "-shared", "-fPIC", "-o", so, "cmodule/"+name+".c")
	if name == "probe" {
		cmd = exec.Command("go", "build", "-buildmode=c-shared", "-o", so, "./redismodule/internal/probe")
		cmd.Dir = ".."
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return so, os.Chmod(so, 0o755)
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(data)) {
		if k, v, _ := strings.Cut(l, ":"); strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func serverVersion() string {
	out, _ := exec.Command("redis-server", "--version").Output()
	v, _, _ := strings.Cut(string(out), " sha")
	return v
}
