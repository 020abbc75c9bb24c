package cache

// Callers is how many share the request for a key.
func Callers[T any](c *Cache[T], key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[key]; f != nil {
		return f.callers
	}
	return 0
}
