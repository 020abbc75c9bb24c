package e2e

import (
	"strings"
	"testing"
)

// The value reaches those who wait from the SET itself, whatever becomes of the
// key before they are answered.
func TestAValueThatIsGoneAtOnceReachesThoseWhoWait(t *testing.T) {
	c := cacheServer(t)
	for _, gone := range [][]string{
		{"MULTI", "CACHE.SET k v 60000 TOKEN %", "DEL k", "EXEC"},
		{"MULTI", "CACHE.SET k v 60000 TOKEN %", "CACHE.DEL k", "EXEC"},
		{"MULTI", "CACHE.SET k v 60000 TOKEN %", "CACHE.SETNIL k 60000", "FLUSHALL", "EXEC"},
		{"MULTI", "CACHE.SET k v 60000 TOKEN %", "SET k other", "DEL k", "EXEC"},
		{"EVAL redis.call('CACHE.SET',KEYS[1],'v',60000,'TOKEN',ARGV[1])redis.call('DEL',KEYS[1]) 1 k %"},
		{"CONFIG SET maxmemory-policy allkeys-random", "MULTI", "CACHE.SET k v 60000 TOKEN %", "CONFIG SET maxmemory 1", "EXEC"}, // evicted
		{"CACHE.SET k v 1 TOKEN %"}, // expired, nearly at once
	} {
		token := c.loads("CACHE.FETCH k 60000 60000")
		waiting := c.park(300, parkForEver) // more than a batch
		for _, line := range gone {
			if reply := c.do(line, token); strings.HasPrefix(reply, "-") {
				t.Fatalf("%s: %s", line, reply)
			}
		}
		for _, w := range waiting {
			w.hears(`["HIT" "v" nil]`)
			_ = w.Close()
		}
		for c.do("EXISTS k") != "0" {
		}
		c.wants("OK", "CONFIG SET maxmemory 0")
		c.nobodyWaits()
	}
}

func TestAValueTheServerHasNoRoomForReachesThoseWhoWait(t *testing.T) {
	const oom = "-OOM command not allowed when used memory > 'maxmemory'."
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	absent := c.loads("CACHE.FETCH n 60000 60000")
	waiting := c.park(3, parkForEver)
	waitingForNothing := c.park(1, "CACHE.FETCH n 60000 60000 BLOCK 0")
	c.wants("OK", "SET kept v")
	c.wants("OK", "CONFIG SET maxmemory 1")
	c.wants(oom, "CACHE.SET k v 60000 TOKEN %", token)
	c.wants(oom, "CACHE.SETNIL n 60000 TOKEN %", absent)
	for _, w := range waiting {
		w.hears(`["HIT" "v" nil]`)
	}
	waitingForNothing[0].hears(`["ABSENT" nil nil]`)
	c.wants(oom, "CACHE.SETNIL kept 60000")
	c.wants(`"v"`, "CACHE.GET kept")
	// What is not stored is loaded again, by one at a time.
	again := c.loads("CACHE.FETCH k 60000 60000")
	c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000")
	c.wants("OK", "CONFIG SET maxmemory 0")
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", again)
	c.nobodyWaits()
}

// While it makes room the server takes writes, and has more memory than it may.
func TestAnAbsenceIsStoredWhileTheServerEvicts(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "DEBUG POPULATE 200000 key 200")
	c.wants("OK", "CACHE.SET k v 60000")
	c.wants("OK", "CONFIG SET maxmemory-policy volatile-lru") // which has little to choose from
	c.wants("OK", "CONFIG SET maxmemory 1")
	c.wants("-OOM command not allowed when used memory > 'maxmemory'.", "CACHE.SETNIL key:1 60000")
	c.wants("1", "EXISTS key:1")
	c.wants("OK", "CONFIG SET maxmemory-policy allkeys-lru")
	c.wants("OK", "SET key:1 v")
	c.wants("OK", "CACHE.SETNIL key:1 60000")
	c.wants("OK", "CACHE.SETNIL new 60000")
	if c.do("EXISTS key:1000 key:2000 key:3000 key:4000 key:5000") == "0" {
		t.Error("the server is done evicting: this shows nothing")
	}
}

// Eviction makes room; it says nothing about whether a value is right.
func TestEvictionEndsNoLease(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CONFIG SET maxmemory-policy allkeys-random")
	c.wants("OK", "CACHE.SET k old 60000")
	token := c.isToLoad(c.do("CACHE.FETCH k 60000 60000 REFRESH 100000"))
	c.wants("OK", "CONFIG SET maxmemory 1")
	for c.do("EXISTS k") == "1" {
		c.do("SET filler x") // refused; but first the server evicts
	}
	c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000")
	waiting := c.park(1, parkForEver)
	c.wants("OK", "CONFIG SET maxmemory 0")
	c.wants("OK", "CACHE.SET k new 60000 TOKEN %", token)
	waiting[0].hears(`["HIT" "new" nil]`)
}
