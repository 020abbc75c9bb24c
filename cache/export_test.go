package cache

import "time"

// Callers is how many share the request for a key.
func Callers[T any](c *Cache[T], key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[key]; f != nil {
		return f.callers
	}
	return 0
}

// Near is how many values are near, and whether each server says what changes.
func Near[T any](c *Cache[T]) (values int, up bool) {
	c.mu.Lock()
	trackers := len(c.trackers)
	up = trackers > 0
	for _, t := range c.trackers {
		t.mu.Lock()
		up = up && t.stream != nil
		t.mu.Unlock()
	}
	c.mu.Unlock()
	c.near.mu.RLock()
	defer c.near.mu.RUnlock()
	return len(c.near.entries), up
}

// SetIdle sets after which time of no use a tracking connection is given up.
func SetIdle[T any](c *Cache[T], d time.Duration) { c.retireAt = d }

// StandStill has it be later for what is near, by d, and nothing heard meanwhile.
func StandStill[T any](c *Cache[T], d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.trackers {
		t.freshAt.Add(-int64(d))
	}
}

// Probed is how many servers are being probed.
func Probed[T any](c *Cache[T]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.servers)
}
