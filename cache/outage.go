package cache

import (
	"context"
	"time"
)

// probe is how often a server that does not answer is asked again.
const probe = time.Second

// outage is whether Redis answers.
type outage struct {
	down bool
	next time.Time // when it is asked again
}

// without tells whether to load without Redis at once. During an outage one call a
// second tries it, the others do not wait for its timeouts.
func (c *Cache[T]) without() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.outage.down || time.Now().After(c.outage.next) {
		c.outage.next = time.Now().Add(probe)
		return false
	}
	return true
}

// fell notes that Redis does not answer.
func (c *Cache[T]) fell(err error) {
	c.mu.Lock()
	first := !c.outage.down
	c.outage = outage{true, time.Now().Add(probe)}
	c.mu.Unlock()
	if first {
		c.o.Logger.Warn("cache: Redis does not answer: values are loaded without it", "at_a_time", c.o.MaxLoads, "error", err)
	}
}

// rose notes that it does.
func (c *Cache[T]) rose() {
	c.mu.Lock()
	first := c.outage.down
	c.outage.down = false
	c.mu.Unlock()
	if first {
		c.o.Logger.Info("cache: Redis answers again")
	}
}

// loadAlone loads a value without Redis, behind this process's own limit.
func (c *Cache[T]) loadAlone(ctx context.Context, f *flight[T]) {
	var value T
	select {
	case c.loads <- struct{}{}:
		var err error
		value, err = c.run(ctx, f, "")
		<-c.loads
		c.finish(f, value, err)
	case <-ctx.Done():
		c.finish(f, value, context.Cause(ctx))
	}
}
