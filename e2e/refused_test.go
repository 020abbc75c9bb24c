package e2e

import "strings"

// refusedAlike sends a line that is refused once more, in a transaction and in a
// script: it is refused there with the same words.
func (c *cacheConn) refusedAlike(line string) {
	c.t.Helper()
	plain := c.do(line)
	if !strings.HasPrefix(plain, "-") {
		c.t.Errorf("%s is not refused: %s", line, plain)
		return
	}
	c.do("MULTI")
	queued, exec := c.do(line), c.do("EXEC")
	script := c.do("EVAL % 0 "+line, "return redis.pcall(unpack(ARGV))")
	switch {
	case exec == "["+plain+"]" && script == plain:
	// What the server sees to have a wrong number of arguments is not even queued.
	case queued == plain && strings.HasPrefix(exec, "-EXECABORT") && strings.HasPrefix(script, "-ERR Wrong number of args calling"):
	default:
		c.t.Errorf("%s answers %s, in MULTI %s and %s, in a script %s", line, plain, queued, exec, script)
	}
}
