package blocking

import (
	"context"
	"time"
)

// Kept returns a kept connection to the primary of a key's slot, or nil where that
// would take waiting or connecting, or where the client asks Sentinel: such a client
// must be used itself, because it alone hears of a failover. The caller gives the
// connection back as one from Get.
func (p *Pool) Kept(key string) *Conn {
	_, opt, err := p.node(context.Background(), key) // a cluster's client answers from memory
	if err != nil || opt.Addr == sentinelAddr {
		return nil
	}
	select {
	case p.slots <- struct{}{}:
	default:
		return nil
	}
	c := p.take(opt)
	if c == nil {
		<-p.slots
		return nil
	}
	c.slot = true
	return c
}

// HasRoom reports whether another connection may be kept.
func (p *Pool) HasRoom() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && len(p.idle)+len(p.slots) < maxIdle
}

// Keep makes a connection to the primary of a key's slot and keeps it for Kept.
func (p *Pool) Keep(ctx context.Context, within time.Duration, key string) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	node, opt, err := p.node(ctx, key)
	if err != nil || opt.Addr == sentinelAddr {
		return
	}
	c := newConn(p, node, opt)
	c.Late = ignore
	if _, err := c.Do(ctx, within, nil, "PING"); err != nil && !Refused(err) {
		c.Close()
		return
	}
	c.Put()
}
