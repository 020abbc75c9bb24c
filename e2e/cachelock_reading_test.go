package e2e

import (
	"strings"
	"testing"
)

// What reads must not write: a value that was stored as an integer or in one piece with
// its key stays so, or a snapshot that is being taken would have to copy its page.
func TestReadingChangesNoValue(t *testing.T) {
	c := cacheServer(t)
	for _, value := range []string{"123", "-9223372036854775808", "", "a short text", strings.Repeat("x", 44), strings.Repeat("x", 45), strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		c.wants("OK", "FLUSHALL")
		waiting := c.parkBehind("k", 2)
		c.wants("OK", "SET k % PX 50000", value) // they are given what is stored
		encoding := c.do("OBJECT ENCODING k")    // how long an embedded string may be differs between servers
		for _, w := range waiting {
			w.read()
		}
		for _, read := range []string{
			"CACHE.GET k", "CACHE.FETCH k 60000 60000", "CACHE.FETCH k 60000 60000 BLOCK 0", "CACHE.FETCH k 60000 60000 REFRESH 1", // hits
			"CACHE.FETCH k 60000 60000 REFRESH 100000", "CACHE.FETCH k 60000 60000 REFRESH 100000", // LOAD, then STALE
			"CACHE.LOCK k 60000 60000", "CACHE.INFO k", "CACHE.LOADS",
			"EVAL % 1 k", "MULTI", "CACHE.GET k", "CACHE.FETCH k 60000 60000", "EXEC",
		} {
			c.do(read, "return {redis.call('CACHE.GET',KEYS[1]),redis.call('CACHE.FETCH',KEYS[1],60000,60000)}")
		}
		c.wants(encoding, "OBJECT ENCODING k")
		quoted := c.do("GET k")
		c.wants(quoted, "CACHE.GET k")
		c.wants(`["HIT" `+quoted+` nil]`, "CACHE.FETCH k 60000 60000")
	}
}

// parkBehind makes n callers wait for a key that somebody loads.
func (c *cache) parkBehind(key string, n int) []*cacheConn {
	c.cacheConn.t.Helper()
	c.loads("CACHE.FETCH % 60000 60000", key)
	return c.park(n, "CACHE.FETCH % 60000 60000 BLOCK 0", key)
}

// Operators judge a cache by the server's hits and misses: reading a value counts as GET
// does, and what the module looks up for itself counts nothing.
func TestHitsAndMissesAreCountedAsGetCountsThem(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CACHE.SET k 1 60000")
	c.wants("OK", "CACHE.SET long % 60000", strings.Repeat("x", 1000))
	for _, step := range []struct {
		line         string
		hits, misses int
	}{
		{"CACHE.GET k", 1, 0}, {"CACHE.GET long", 1, 0}, {"CACHE.GET none", 0, 1},
		{"CACHE.FETCH k 60000 60000", 1, 0}, {"CACHE.FETCH long 60000 60000 REFRESH 1", 1, 0}, {"CACHE.FETCH none2 60000 60000", 0, 1},
		{"CACHE.INFO k", 0, 0}, {"CACHE.INFO none3", 0, 0}, {"CACHE.LOADS", 0, 0},
		{"CACHE.SET k 1 60000", 0, 0}, {"CACHE.DEL none4", 0, 0},
	} {
		before := c.keyspace()
		c.do(step.line)
		after := c.keyspace()
		if after[0]-before[0] != step.hits || after[1]-before[1] != step.misses {
			t.Errorf("%s counts %d hits and %d misses, want %d and %d", step.line, after[0]-before[0], after[1]-before[1], step.hits, step.misses)
		}
	}
}

// keyspace is how many hits and misses the server has counted.
func (c *cacheConn) keyspace() (counts [2]int) {
	c.t.Helper()
	text := unquote(c.t, c.do("INFO stats"))
	for i, field := range []string{"keyspace_hits:", "keyspace_misses:"} {
		_, after, _ := strings.Cut(text, field)
		for _, r := range after {
			if r < '0' || r > '9' {
				break
			}
			counts[i] = counts[i]*10 + int(r-'0')
		}
	}
	return counts
}
