// Package blocking is what the Go clients share: connections of their own for
// commands that wait, commands that end with their caller's context, and the list of
// errors that pass.
//
// A command that waits must not be sent over the caller's connection pool: the pool's
// read timeout would end it and the pool would send it again. And when nobody wants
// the answer any more, what the command is granted must be undone.
package blocking

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxIdle bounds the connections that are kept for later, and those that are in use
// for commands that do not wait.
var maxIdle = 10 * runtime.GOMAXPROCS(0)

// Pool makes connections with the options of a client, and keeps them. Connections
// that wait are not bounded: each stands for a caller who must wait.
type Pool struct {
	rdb   redis.UniversalClient
	slots chan struct{}

	mu     sync.Mutex
	idle   []*Conn // used last at the end
	closed bool
	work   sync.WaitGroup // what goes on in the background; Close waits for it
}

// NewPool returns a pool of connections to the servers of rdb.
func NewPool(rdb redis.UniversalClient) *Pool {
	return &Pool{rdb: rdb, slots: make(chan struct{}, maxIdle)}
}

// Get returns a connection to the primary of a key's slot. Used says that it served
// before. It holds one of a bounded number of slots until it waits or is given back,
// so that a burst of commands does not open a connection for each.
func (p *Pool) Get(ctx context.Context, key string) (c *Conn, used bool, err error) {
	node, opt, err := p.node(ctx, key)
	if err != nil {
		return nil, false, err
	}
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	if c = p.take(opt); c == nil {
		c = newConn(p, node, opt)
	} else {
		used = true
	}
	c.slot = true
	return c, used, nil
}

func newConn(p *Pool, node hooked, opt *redis.Options) *Conn {
	c := &Conn{pool: p, base: opt, addr: opt.Addr}
	if node != nil {
		c.hooks = node.Conn() // for a copy of its hooks; no connection is taken from its pool
		c.hooks.AddHook(sender{})
	}
	return c
}

// take returns a kept connection to a node, the one used last. Those that the server
// has closed meanwhile, or that are too old by the caller's options, are closed.
func (p *Pool) take(opt *redis.Options) *Conn {
	for {
		p.mu.Lock()
		var c *Conn
		for i, kept := range slices.Backward(p.idle) {
			if kept.addr == opt.Addr {
				p.idle, c = slices.Delete(p.idle, i, i+1), kept
				break
			}
		}
		p.mu.Unlock()
		if c == nil || c.healthy(opt.ConnMaxIdleTime) {
			return c
		}
		c.Close()
	}
}

// healthy reports whether a kept connection is open and nothing has arrived on it.
func (c *Conn) healthy(maxIdleTime time.Duration) bool {
	return (maxIdleTime <= 0 || time.Since(c.used) < maxIdleTime) && c.r.Buffered() == 0 && !c.peek.readable(c.raw)
}

// put keeps a connection, or reports that it may not be kept.
func (p *Pool) put(c *Conn) bool {
	c.used = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle || c.r == nil {
		return false
	}
	p.idle = append(p.idle, c)
	return true
}

// Forget drops the kept connections and refreshes a cluster's slot map, after an
// error that says that the primary may be another.
func (p *Pool) Forget(ctx context.Context) {
	p.drop(false)
	p.reload(ctx)
}

// reload refreshes a cluster's slot map, in the background. go-redis does so once a
// minute and after a MOVED reply, but not when a node stops answering.
func (p *Pool) reload(ctx context.Context) {
	if c, ok := p.rdb.(interface{ ReloadState(context.Context) }); ok {
		c.ReloadState(ctx)
	}
}

// Close closes the kept connections and waits, for [CloseTimeout] at most, until those
// whose commands were called off have ended. Those in use are closed when they are
// given back.
func (p *Pool) Close() {
	p.drop(true)
	p.work.Wait()
}

func (p *Pool) drop(closed bool) {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, p.closed || closed
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// spawn runs what takes no longer than CloseTimeout in the background. Close waits for it.
func (p *Pool) spawn(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go f()
		return
	}
	p.work.Go(f)
}

// hooked is a client of one server whose hooks a connection runs.
type hooked interface {
	Conn() *redis.Conn
}

// sentinelAddr is the address in the options of a client that asks Sentinel.
const sentinelAddr = "FailoverClient"

// Node returns the options of the client of a key's primary.
func (p *Pool) Node(ctx context.Context, key string) (*redis.Options, error) {
	_, opt, err := p.node(ctx, key)
	return opt, err
}

func (p *Pool) node(ctx context.Context, key string) (hooked, *redis.Options, error) {
	switch c := p.rdb.(type) {
	case interface { // a single server, or Sentinel's primary
		hooked
		Options() *redis.Options
	}:
		return c, c.Options(), nil
	case interface { // a cluster
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}:
		return clientOf(ctx, func(ctx context.Context) (*redis.Client, error) { return c.MasterForKey(ctx, key) })
	case interface { // a ring
		GetShardClientForKey(key string) (*redis.Client, error)
	}:
		return clientOf(ctx, func(context.Context) (*redis.Client, error) { return c.GetShardClientForKey(key) })
	}
	return nil, nil, fmt.Errorf("%w: a %T; pass a *redis.Client or *redis.ClusterClient", errUnsupported, p.rdb)
}

// clientOf finds a node's client, for as long as ctx lives: a cluster that does not
// answer keeps go-redis for its timeouts.
func clientOf(ctx context.Context, find func(context.Context) (*redis.Client, error)) (hooked, *redis.Options, error) {
	node, err := untilDone(ctx, func(ctx context.Context) (*redis.Client, error) { return find(ctx) })
	if err != nil {
		return nil, nil, err
	}
	return node, node.Options(), nil
}

// untilDone returns what f does, or ctx's error if ctx ends before. f goes on in the
// background then, for as long as go-redis's timeouts allow.
func untilDone[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	if ctx.Done() == nil {
		return f(ctx)
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f(ctx)
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
