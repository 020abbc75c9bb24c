// Package blocking holds what the Go clients share: connections of their own
// for commands that wait, and the judgement which errors pass by themselves.
//
// A command that waits must not stand in the caller's connection pool: its read
// timeout would strike, and the command be sent again. Nor may it be left behind
// when nobody wants its answer any more: what is granted then must be undone.
package blocking

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxIdle bounds the connections kept for later, and those that are opened at
// once for commands that do not wait.
var maxIdle = 10 * runtime.GOMAXPROCS(0)

// Millis is d as the commands take durations: in whole milliseconds, rounded up, and
// one at least.
func Millis(d time.Duration) int64 {
	return max(int64((d+time.Millisecond-1)/time.Millisecond), 1)
}

// Pool opens connections with the options of a client, and keeps them.
// Parked ones are not bounded: each stands for somebody who must wait.
type Pool struct {
	rdb   redis.UniversalClient
	slots chan struct{}

	mu     sync.Mutex
	idle   []*Conn
	closed bool
}

// NewPool is a pool of connections to where rdb leads.
func NewPool(rdb redis.UniversalClient) *Pool {
	return &Pool{rdb: rdb, slots: make(chan struct{}, maxIdle)}
}

// Get returns a connection to the primary of a key's slot. Used says that it
// served before: this process had to wait lately. A new one holds one of a
// bounded number of slots until it waits or is given back, so that a burst of
// locks that are free does not open a connection for each.
func (p *Pool) Get(ctx context.Context, key string) (c *Conn, used bool, err error) {
	opt, err := p.Node(ctx, key)
	if err != nil {
		return nil, false, err
	}
	if c := p.take(opt.Addr); c != nil {
		return c, true, nil
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if c := p.take(opt.Addr); c != nil {
		<-p.slots
		return c, true, nil
	}
	return newConn(p, opt), false, nil
}

func (p *Pool) take(addr string) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range slices.Backward(p.idle) {
		if c.addr == addr {
			p.idle = slices.Delete(p.idle, i, i+1)
			return c
		}
	}
	return nil
}

// put keeps a connection, or tells that it may not be kept.
func (p *Pool) put(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, c)
	return true
}

// Send sends a command that does not wait, once, through the client itself, and
// returns its reply, nil for a nil one.
func (p *Pool) Send(ctx context.Context, args ...any) (any, error) {
	cmd := command{redis.NewCmd(ctx, args...)}
	p.process(ctx, cmd)
	return cmd.result()
}

// process sends a command, which has its error, and has a cluster looked at anew if
// that may have been out of date.
func (p *Pool) process(ctx context.Context, cmd redis.Cmder) {
	if Passes(p.rdb.Process(ctx, cmd)) {
		p.reload(ctx)
	}
}

// SendForText is Send for a command that answers a text or nil. This and SendForTexts
// are for what is sent most: go-redis reads a reply of which it knows the kind with half
// the allocations.
func (p *Pool) SendForText(ctx context.Context, args ...any) (reply string, there bool, err error) {
	cmd := text{redis.NewStringCmd(ctx, args...)}
	p.process(ctx, cmd)
	reply, err = cmd.Result()
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	return reply, err == nil, err
}

// SendForTexts is Send for a command that answers an array of texts, in which nil is
// as good as an empty one.
func (p *Pool) SendForTexts(ctx context.Context, args ...any) ([]string, error) {
	cmd := texts{redis.NewStringSliceCmd(ctx, args...)}
	p.process(ctx, cmd)
	return cmd.Result()
}

// SendAll is Send for commands in one pipeline.
func (p *Pool) SendAll(ctx context.Context, commands [][]any) (replies []any, errs []error) {
	pipe := p.rdb.Pipeline()
	cmds := make([]command, len(commands))
	for i, args := range commands {
		cmds[i] = command{redis.NewCmd(ctx, args...)}
		_ = pipe.Process(ctx, cmds[i])
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	replies, errs = make([]any, len(cmds)), make([]error, len(cmds))
	for i, cmd := range cmds {
		replies[i], errs[i] = cmd.result()
	}
	return replies, errs
}

// Forget drops what is known of who the primary is, after an error that says
// that it may be another: kept connections, and a cluster's picture of its slots.
func (p *Pool) Forget(ctx context.Context) {
	p.drop(false)
	p.reload(ctx)
}

// reload has a cluster's client look who the primaries are. Of itself it does so
// once a minute, and when one sends it on, but not when one is gone.
func (p *Pool) reload(ctx context.Context) {
	if c, ok := p.rdb.(interface{ ReloadState(context.Context) }); ok {
		c.ReloadState(ctx)
	}
}

// Close closes the connections that are kept; those in use are closed when they
// are given back.
func (p *Pool) Close() { p.drop(true) }

func (p *Pool) drop(closed bool) {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, p.closed || closed
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// Node is the options of the client that leads to a key's primary.
func (p *Pool) Node(ctx context.Context, key string) (*redis.Options, error) {
	var node *redis.Client
	var err error
	switch c := p.rdb.(type) {
	case interface{ Options() *redis.Options }: // a single server, or Sentinel's primary
		return c.Options(), nil
	case interface { // a cluster
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}:
		node, err = c.MasterForKey(ctx, key)
	case interface { // a ring
		GetShardClientForKey(key string) (*redis.Client, error)
	}:
		node, err = c.GetShardClientForKey(key)
	default:
		return nil, fmt.Errorf("%w: a %T; pass a *redis.Client or *redis.ClusterClient", errUnsupported, p.rdb)
	}
	if err != nil {
		return nil, err
	}
	return node.Options(), nil
}
