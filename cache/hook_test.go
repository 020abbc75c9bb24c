package cache_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
)

// recorder is a hook as tracing has it.
type recorder struct {
	mu       sync.Mutex
	commands []string
}

func (r *recorder) record(cmd redis.Cmder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = append(r.commands, strings.ToUpper(fmt.Sprint(cmd.Args()...)))
}

func (r *recorder) saw(parts ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
commands:
	for _, command := range r.commands {
		for _, part := range parts {
			if !strings.Contains(command, part) {
				continue commands
			}
		}
		return true
	}
	return false
}

func (r *recorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.record(cmd)
		return next(ctx, cmd)
	}
}

func (r *recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			r.record(cmd)
		}
		return next(ctx, cmds)
	}
}

func TestTheHooksOfTheClientSeeEveryCommand(t *testing.T) {
	s := start(t)
	var r recorder
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
	rdb.AddHook(&r)
	c := patient(rdb, cache.Options{Codec: cache.Bytes})
	t.Cleanup(func() { _ = c.Close(); _ = rdb.Close() })
	g := newGate()
	loading := s.fetch(s.Context(), s.cache(cache.Options{Codec: cache.Bytes}), "k", g.load)
	<-g.called
	waiting := s.fetch(s.Context(), c, "k", never(t))
	s.waiters("k", 1)
	g.answer <- result{"v", nil}
	<-loading
	<-waiting
	for range 40 {
		s.get(c, "k", never(t))
	}
	s.get(c, "new", loads("v"))
	for _, parts := range [][]string{{"CACHE.FETCH", "BLOCK"}, {"CACHE.GET"}, {"CACHE.SET"}} {
		if !r.saw(parts...) {
			t.Errorf("%v was not seen", parts)
		}
	}
}

// Most hits are asked for in the caller's goroutine, and end with its context all the
// same; and all values are right, whoever shares what.
func TestHitsOfManyCallersAreRight(t *testing.T) {
	s := start(t)
	c := s.cache(cache.Options{Codec: cache.Bytes})
	const keys = 5
	for i := range keys {
		s.do("SET", fmt.Sprint("k", i), fmt.Sprint("v", i), "EX", 3600)
	}
	var all sync.WaitGroup
	for g := range 20 {
		all.Go(func() {
			for i := range 300 {
				k := (g + i) % keys
				ctx, cancel := context.WithCancel(s.Context())
				if i%7 == 0 {
					go cancel() // in the midst of it
				}
				v, err := c.Fetch(ctx, fmt.Sprint("k", k), never(t))
				if err == nil && v != fmt.Sprint("v", k) {
					t.Errorf("k%d is %q", k, v)
				}
				if err != nil && i%7 != 0 {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
}
