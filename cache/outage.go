package cache

import (
	"context"
	"time"
)

// probe is how often a server that does not answer is asked again.
const probe = time.Second

// outage is a server's that does not answer.
type outage struct {
	next time.Time // when it is asked again
}

// server is where a key's value is now. Those of a cluster fail one by one.
func (c *Cache[T]) server(key string) string {
	node, err := c.conns.Node(c.ctx, key)
	if err != nil {
		return ""
	}
	return node.Addr
}

// without tells whether to load without Redis at once. During an outage one call a
// second tries it, the others do not wait for its timeouts.
func (c *Cache[T]) without(key string) bool {
	if c.down.Load() == 0 { // as it should be: this costs nothing
		return false
	}
	server := c.server(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outages[server]
	if o == nil || time.Now().After(o.next) {
		if o != nil {
			o.next = time.Now().Add(probe)
		}
		return false
	}
	return true
}

// fell notes that a key's server does not answer.
func (c *Cache[T]) fell(key string, err error) {
	server := c.server(key)
	c.mu.Lock()
	first := c.outages[server] == nil
	if c.outages == nil {
		c.outages = map[string]*outage{}
	}
	c.outages[server] = &outage{time.Now().Add(probe)}
	c.down.Store(int32(len(c.outages)))
	c.mu.Unlock()
	if first {
		c.o.Logger.Warn("cache: Redis does not answer: values are loaded without it", "server", server, "at_a_time", c.o.MaxLoads, "error", err)
	}
}

// rose notes that it does. A server that nothing is asked of for long, because another
// has taken over, is forgotten.
func (c *Cache[T]) rose(key string) {
	if c.down.Load() == 0 {
		return
	}
	server := c.server(key)
	c.mu.Lock()
	again := c.outages[server] != nil
	for s, o := range c.outages {
		if s == server || time.Since(o.next) > 10*probe {
			delete(c.outages, s)
		}
	}
	c.down.Store(int32(len(c.outages)))
	c.mu.Unlock()
	if again {
		c.o.Logger.Info("cache: Redis answers again", "server", server)
	}
}

// loadAlone loads a value without Redis, behind this process's own limit.
func (c *Cache[T]) loadAlone(ctx context.Context, f *flight[T]) {
	var value T
	select {
	case c.loads <- struct{}{}:
		value, err := c.run(ctx, f, "", func() { <-c.loads })
		c.finish(f, value, err)
	case <-ctx.Done():
		c.finish(f, value, context.Cause(ctx))
	}
}
