package main

import (
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

// startAndMemory: how much later a server is ready, and how large it is.
func startAndMemory(b *Bench) error {
	ready := func(start func() (*Server, error)) func() float64 {
		return func() float64 {
			began := time.Now()
			s, err := start()
			must(err)
			defer s.Close()
			return ms(time.Since(began))
		}
	}
	f := b.Compare("ready after", "ms", "no modules", nil,
		ready(func() (*Server, error) { return holdfast() }), ready(func() (*Server, error) { return start(nil) }))
	b.Above("ready later by", "ms", AtMost(100), f)
	modules, err := redisserver.Modules()
	if err != nil {
		return err
	}
	f = b.Compare("resident, as a daemon", "MB", "no modules", nil, daemonRSS(modules), daemonRSS(nil))
	f.Peer, f.Name = nil, "resident with the modules"
	b.add(f, AtMost(12))
	return nil
}

// daemonRSS starts a server as it runs in earnest, in the background, and
// answers its resident memory in MB.
func daemonRSS(modules []string) func() float64 {
	return func() float64 {
		dir, err := os.MkdirTemp("", "daemon-")
		must(err)
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
		must(c.Ping(bg).Err())
		text, _ := os.ReadFile(pidfile)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		must(err)
		defer func() { _ = syscall.Kill(pid, syscall.SIGTERM) }()
		return rss(pid) / 1e6
	}
}
