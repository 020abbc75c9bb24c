package blocking

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// connectTime bounds making a connection for a command that waits.
const connectTime = 10 * time.Second

// connect makes the connection unless there is one. It returns when ctx ends or
// within is over, whatever the network does.
func (c *Conn) connect(ctx context.Context, within time.Duration) error {
	c.mu.Lock()
	made, ended := c.raw != nil, c.ended
	c.mu.Unlock()
	switch {
	case ended:
		return net.ErrClosed
	case made:
		return nil
	case within == 0:
		within = connectTime
	}
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	stop := context.AfterFunc(bounded, c.interrupt)
	client := redis.NewClient(c.options(within))
	c.mu.Lock()
	c.client = client
	c.mu.Unlock()
	err := client.Ping(bounded).Err()
	if refused := redis.HasErrorPrefix(err, "MISCONF") || redis.HasErrorPrefix(err, "NOPERM"); refused && client.PoolStats().TotalConns > 0 {
		err = nil // PING alone is refused: the connection is made
	}
	stopped := stop()
	if err == nil && !stopped {
		err = errConnect
	}
	if err != nil {
		c.interrupt()
		_ = client.Close()
		if bounded.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errConnect, context.DeadlineExceeded)
		} else if errors.Is(err, context.Canceled) && ctx.Err() == nil { // a dialer's, not our caller's
			err = fmt.Errorf("%w: %v", errConnect, err)
		}
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.raw == nil {
		return net.ErrClosed
	}
	c.ready, c.late = true, time.Time{}
	c.r = bufio.NewReaderSize(c.raw, 16<<10)
	return c.raw.SetDeadline(time.Time{})
}

// options are those of the caller's client, but for one connection that we use
// ourselves once it is made.
func (c *Conn) options(within time.Duration) *redis.Options {
	base, opt := c.base, *c.base
	opt.Addr = c.addr
	// One is used; with two, a failed dial is not followed by others in the background.
	opt.PoolSize, opt.MaxActiveConns, opt.MinIdleConns, opt.PipelinePoolSize = 2, 0, 0, -1
	opt.MaxRetries, opt.DialerRetries = -1, 1 // who uses the connection tries again
	opt.ReadTimeout, opt.WriteTimeout = within, within
	opt.ClientSideCache, opt.ClientSideCacheConfig, opt.PushNotificationProcessor = nil, nil, nil
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c.mu.Lock()
		if c.ended {
			c.mu.Unlock()
			return nil, net.ErrClosed
		}
		c.dial = cancel
		c.mu.Unlock()
		raw, err := base.Dialer(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		keepAlive(raw)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dial = nil
		if c.ended {
			_ = raw.Close()
			return nil, net.ErrClosed
		}
		c.raw = raw
		return raw, nil
	}
	return &opt
}

// keepAlive has the system notice within half a minute that the other machine, or
// the way to it, is gone. Who waits sends nothing, so nothing else would notice;
// go-redis's own setting takes more than five minutes.
func keepAlive(raw net.Conn) {
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok { // TLS
		raw = t.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4})
	}
}
