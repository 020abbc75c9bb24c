package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"holdfast/internal/redisserver"
)

// Server is a server under measurement.
type Server struct {
	*redisserver.Process
	*redis.Client
}

// start starts a server with the given modules.
func start(modules []string, args ...string) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{Modules: modules, Args: args})
	if err != nil {
		return nil, err
	}
	return &Server{p, client(p.Addr, 2000)}, nil
}

// client is a go-redis client as all comparisons use it: no retries, no timeouts,
// and buffers of which ten thousand fit into memory.
func client(addr string, conns int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: conns, PoolTimeout: time.Minute, DisableIdentity: true,
		ReadBufferSize: 4096, WriteBufferSize: 1024,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// module starts a server with one of the modules and room for many clients.
func module(name string, args ...string) (*Server, error) {
	all, err := redisserver.Modules()
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		if filepath.Base(path) == name+".so" {
			return start([]string{path}, append([]string{"--maxclients", "14000"}, args...)...)
		}
	}
	return nil, fmt.Errorf("no %s.so among %v", name, all)
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
