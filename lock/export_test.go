package lock

// Standing is how many callers stand in line for a lock.
func Standing(c *Client, name string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, l := range c.lines {
		if r.name == name {
			n += 1 + len(l.waiting)
		}
	}
	return n
}
