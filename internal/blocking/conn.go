package blocking

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// farewell is how long a connection may take to end after its command was
// called off.
const farewell = 2 * time.Second

// Conn is one connection, of one goroutine.
type Conn struct {
	pool   *Pool
	base   *redis.Options
	addr   string
	client *redis.Client // with this connection alone
	slot   bool

	mu     sync.Mutex
	raw    net.Conn
	dials  int
	within time.Duration // how long a reply may take, or a quarter more; 0 is for ever
	late   time.Time     // when what is read is late, as set on raw
	last   []any         // what to send behind a command that is called off
	left   bool          // called off: nothing may be sent any more
}

func newConn(p *Pool, base *redis.Options) *Conn {
	c := &Conn{pool: p, base: base, slot: true}
	c.open(base.Addr)
	return c
}

// open lets the connection lead to a node. It is made when it is used.
func (c *Conn) open(addr string) {
	base, opt := c.base, *c.base
	c.addr, opt.Addr = addr, addr
	// One is used; with two, a failed dial is not followed by others in the background.
	opt.PoolSize, opt.MaxActiveConns, opt.MinIdleConns, opt.PipelinePoolSize = 2, 0, 0, -1
	opt.MaxRetries, opt.DialerRetries = -1, 1 // what to do again, and when, is decided above
	opt.ReadTimeout = -2                      // socket times replies
	if opt.WriteTimeout == 0 {                // the base's "none" is spelled so before it is read
		opt.WriteTimeout = -1
	}
	opt.ClientSideCache, opt.ClientSideCacheConfig, opt.PushNotificationProcessor = nil, nil, nil
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := base.Dialer(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		keepAlive(raw)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.left {
			_ = raw.Close()
			return nil, net.ErrClosed
		}
		c.raw, c.late = raw, time.Time{}
		c.dials++
		return wrap(raw, c), nil
	}
	c.client = redis.NewClient(&opt)
}

// Do sends a command and waits for its reply, for as long as ctx lives and, unless
// within is 0, that long (or a quarter more); in a cluster it follows the command to where its slot is.
// When either ends, last is sent behind the command and the connection is shut: the
// server either takes the command's wait back, because its client is gone, or, if it
// has answered already, goes on to last, which undoes it. Both arrive in this order
// on the one connection. So nothing is left behind that a command of the modules
// grants: they take back what was granted to a client that is gone before it was
// answered. Redis's own commands do not.
//
// After an error the connection must be closed. The error is ctx's when that called
// the command off; if there is a reply all the same, it came in that very moment.
func (c *Conn) Do(ctx context.Context, within time.Duration, last []any, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.within, c.last = within, last
	c.mu.Unlock()
	if ctx.Done() == nil {
		return c.send(ctx, args)
	}
	gone := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(gone); c.leave() })
	reply, err := c.send(context.WithoutCancel(ctx), args)
	if !stop() {
		<-gone
		return reply, ctx.Err()
	}
	return reply, err
}

// Waiting says that the next command may wait for long: the connection's slot
// is another's.
func (c *Conn) Waiting() {
	if c.slot {
		c.slot = false
		<-c.pool.slots
	}
}

// Dials counts how often the connection was made: state on the server's side is
// lost with each.
func (c *Conn) Dials() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dials
}

// Put gives the connection back, whole, for others.
func (c *Conn) Put() {
	c.Waiting()
	if !c.pool.put(c) {
		c.Close()
	}
}

// Close closes the connection. It may be called while another goroutine is in
// Watch.
func (c *Conn) Close() {
	c.Waiting()
	c.mu.Lock()
	if c.raw != nil { // first, because the client asks it for its health, behind Watch
		_ = c.raw.Close()
	}
	c.mu.Unlock()
	_ = c.client.Close()
}

// Watch returns when the server has closed the connection, or Close has. Nothing
// may be sent any more.
func (c *Conn) Watch() {
	c.mu.Lock()
	raw := c.raw
	c.mu.Unlock()
	if raw == nil {
		return
	}
	_ = raw.SetReadDeadline(time.Time{}) // for good: nothing is sent any more
	buf := make([]byte, 512)             // pushed messages, which nobody asked for
	for {
		if _, err := raw.Read(buf); err != nil {
			return
		}
	}
}

// encode writes commands as RESP does.
func encode(commands ...[]any) []byte {
	var b bytes.Buffer
	for _, args := range commands {
		fmt.Fprintf(&b, "*%d\r\n", len(args))
		for _, a := range args {
			s := fmt.Sprint(a)
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(s), s)
		}
	}
	return b.Bytes()
}
