package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A source that is down is not asked again by each caller in turn: for as long as the
// loader said nobody is told LOAD, and nobody waits.
func TestAFailedLoadIsNoStampedeEither(t *testing.T) {
	c := cacheServer(t)
	const failed = "-LOADFAILED the source is down"
	token := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(3, parkForEver)
	c.wants("3", "CACHE.FAIL k % % BACKOFF 60000", token, "the source is down")
	for _, w := range waiting {
		w.hears(failed)
	}
	for range 100 {
		c.wants(failed, parkForEver)
		c.wants(failed, "CACHE.FETCH k 60000 60000")
		c.wants(`["WAIT" nil]`, "CACHE.LOCK k 60000 60000 WITHTOKEN")
		c.wants("nil", "CACHE.GET k")
	}
	if n := c.info("loads"); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	if n := c.info("refused_in_backoff"); n != 300 {
		t.Errorf("%d callers refused, want 300", n)
	}
	if n := c.info("backoffs"); n != 1 {
		t.Errorf("%d backoffs, want 1", n)
	}
	if reply := c.do("CACHE.INFO k"); !regexp.MustCompile(`"lease" nil "waiters" 0 "failed" \["message" "the source is down" "left_ms" (5|60000)`).MatchString(reply) {
		t.Errorf("CACHE.INFO: %s", reply)
	}
	c.wants("[]", "CACHE.LOADS")
	// The old token is worthless, and a guessed one is none.
	c.wants("nil", "CACHE.SET k late 60000 TOKEN %", token)
	c.wants("0", "CACHE.FAIL k % again BACKOFF 60000", token)
	var next int64
	_, _ = fmt.Sscan(token, &next)
	c.wants("nil", "CACHE.SET k guessed 60000 TOKEN %", next+1)
	c.wants("0", "CACHE.UNLOCK k %", next+1)
	c.nobodyWaits()
}

func TestAnOldValueIsGivenWhileItsRefreshBacksOff(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CACHE.SET k old 30000")
	token := c.isToLoad(c.do("CACHE.FETCH k 60000 60000 REFRESH 40000"))
	c.wants("0", "CACHE.FAIL k % down BACKOFF 60000", token)
	for range 10 {
		c.wants(`["STALE" "old" nil]`, "CACHE.FETCH k 60000 60000 BLOCK 0 REFRESH 40000")
		c.wants(`["HIT" "old" nil]`, "CACHE.FETCH k 60000 60000 BLOCK 0 REFRESH 20000")
		c.wants(`"HIT"`, "CACHE.LOCK k 60000 60000")
	}
	// When the old value is gone, the reason is told instead.
	c.wants("1", "PEXPIRE k 1")
	for c.do("EXISTS k") == "1" {
	}
	c.wants("-LOADFAILED down", "CACHE.FETCH k 60000 60000 BLOCK 0 REFRESH 40000")
}

func TestWhatEndsALeaseEndsABackoff(t *testing.T) {
	c := cacheServer(t)
	for _, how := range []string{"CACHE.DEL k", "CACHE.SET k v 60000", "CACHE.SETNIL k 60000", "SET k theirs", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "DEBUG RELOAD", "its time"} {
		c.wants("OK", "FLUSHALL")
		backoff := 60000
		if how == "its time" {
			backoff = 1
		}
		c.wants("0", "CACHE.FAIL k % down BACKOFF %", c.loads("CACHE.FETCH k 60000 60000"), backoff)
		if how != "its time" {
			c.wants("-LOADFAILED down", "CACHE.FETCH k 60000 60000")
			if reply := c.do(how); strings.HasPrefix(reply, "-") {
				t.Fatalf("%s: %s", how, reply)
			}
			c.do("DEL k")
		}
		reply := c.do("CACHE.FETCH k 60000 60000")
		for end := time.Now().Add(patience); how == "its time" && strings.HasPrefix(reply, "-") && time.Now().Before(end); {
			reply = c.do("CACHE.FETCH k 60000 60000")
		}
		if !strings.HasPrefix(reply, `["LOAD"`) {
			t.Errorf("after %s: %s, want LOAD", how, reply)
		}
		if n := c.info("backoffs"); n != 0 {
			t.Errorf("after %s there are %d backoffs", how, n)
		}
	}
}

// One caller tries again when the backoff is over, and the others wait for it.
func TestAfterABackoffOneCallerLoads(t *testing.T) {
	c := cacheServer(t)
	c.wants("0", "CACHE.FAIL k % down BACKOFF 20", c.loads("CACHE.FETCH k 60000 60000"))
	loads := 0
	for end := time.Now().Add(patience); loads == 0 && time.Now().Before(end); {
		if reply := c.do("CACHE.FETCH k 60000 60000"); strings.HasPrefix(reply, `["LOAD"`) {
			loads++
		} else if reply != "-LOADFAILED down" {
			t.Fatal(reply)
		}
	}
	for range 10 {
		c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000")
	}
}

func TestTheOptionsOfFailAreReadAsOthersAre(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	for line, want := range map[string]string{
		"CACHE.FAIL k 1 m BACKOFF":                     "-ERR syntax error",
		"CACHE.FAIL k 1 m BACKOFF 5 BACKOFF 5":         "-ERR syntax error",
		"CACHE.FAIL k 1 m OTHER 5":                     "-ERR syntax error",
		"CACHE.FAIL k 1 m BACKOFF x":                   "-ERR value is not an integer or out of range",
		"CACHE.FAIL k 1 m BACKOFF -1":                  "-ERR invalid expire time in 'cache.fail' command",
		"CACHE.FAIL k 1 m BACKOFF 9223372036854775807": "-ERR invalid expire time in 'cache.fail' command",
		"CACHE.LOADS COUNT":                            "-ERR syntax error",
		"CACHE.LOADS COUNT 0":                          "-ERR value is not an integer or out of range",
		"CACHE.LOADS COUNT 1 COUNT 1":                  "-ERR syntax error",
		"CACHE.LOADS MATCH x":                          "-ERR syntax error",
	} {
		c.wants(want, line)
		c.refusedAlike(line)
	}
	c.wants("1", "CACHE.EXTEND k % 1000", token) // what was refused changed nothing
	c.wants("0", "CACHE.FAIL k % m BACKOFF 0", token)
	c.loads("CACHE.FETCH k 60000 60000")
}
