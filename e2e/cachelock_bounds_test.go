package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Whoever asks for a lease of ever more keys takes no more memory than an operator
// allows, and the cache serves all the same.
func TestAtMostSoManyLeasesAreKeptAndTheCacheGoesOnServing(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CONFIG SET cachelock.max-leases 100")
	waited := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(1, parkForEver)
	for i := range 5000 {
		c.wants(`"LOAD"`, "CACHE.LOCK % 86400000 86400000", fmt.Sprint("user:", i))
	}
	if n := c.info("leases"); n != 100 {
		t.Errorf("%d leases, want 100", n)
	}
	if n := c.info("leases_evicted"); n != 4901 {
		t.Errorf("%d leases evicted, want 4901", n)
	}
	token := c.loads("CACHE.FETCH new 60000 60000")
	c.wants("OK", "CACHE.SET new v 60000 TOKEN %", token)
	c.wants(`["HIT" "v" nil]`, "CACHE.FETCH new 60000 60000")
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", waited)
	waiting[0].hears(`["HIT" "v" nil]`)
}

func TestALongLeaseIsCutToTheLongest(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CONFIG SET cachelock.max-ttl-ms 5000")
	token := c.loads("CACHE.LOCK k 1000 9000000000000000 WITHTOKEN")
	if left, budget := cacheInfo(t, c, "k", "left_ms"), cacheInfo(t, c, "k", "budget_left_ms"); left > 1000 || budget > 5000 || budget <= 1000 {
		t.Errorf("%d ms left of %d, want at most 1000 of 5000", left, budget)
	}
	c.wants("1", "CACHE.EXTEND k % 900000000", token)
	if left := cacheInfo(t, c, "k", "left_ms"); left > 5000 || left <= 1000 {
		t.Errorf("%d ms left after EXTEND, want at most 5000", left)
	}
	c.wants("0", "CACHE.FAIL k % down BACKOFF 900000000", token)
	if reply := c.do("CACHE.INFO k"); !strings.Contains(reply, `"left_ms" 4`) && !strings.Contains(reply, `"left_ms" 5000`) {
		t.Errorf("the backoff is not cut to 5000 ms: %s", reply)
	}
	c.wants("OK", "CACHE.SET k v 9000000") // how long a value lives is another matter
	if ttl := c.do("PTTL k"); len(ttl) != 7 {
		t.Errorf("PTTL is %s, want just under 9000000", ttl)
	}
}

func TestLoadsTellsWhatIsMostWaitedFor(t *testing.T) {
	c := cacheServer(t)
	c.wants("[]", "CACHE.LOADS")
	c.loads("CACHE.FETCH quiet 50000 60000")
	c.loads("CACHE.FETCH k 50000 60000")
	c.loads("CACHE.FETCH busy 50000 60000")
	c.park(1, parkForEver)
	c.park(2, "CACHE.FETCH busy 1000 1000 BLOCK 0")
	var keys []string
	reply := c.do("CACHE.LOADS")
	for _, part := range strings.Split(reply, `"key" `)[1:] {
		fields := strings.Fields(strings.Trim(part, "[] "))
		keys = append(keys, fields[0]+" "+strings.Trim(fields[len(fields)-1], "]"))
		if !strings.Contains(part, `"age_ms" `) || !strings.Contains(part, `"left_ms" 4`) && !strings.Contains(part, `"left_ms" 50000`) {
			t.Errorf("a load is told as %s", part)
		}
	}
	if got := fmt.Sprint(keys); got != `["busy" 2 "k" 1 "quiet" 0]` {
		t.Errorf("loads with waiters: %s", got)
	}
	if reply := c.do("CACHE.LOADS COUNT 1"); strings.Count(reply, `"key"`) != 1 || !strings.Contains(reply, `"busy"`) {
		t.Errorf("COUNT 1: %s", reply)
	}
	c.wants("OK", "SELECT 1")
	c.wants("[]", "CACHE.LOADS")
}
