package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value"

func TestExactlyOneCallerIsToldToLoad(t *testing.T) {
	c := cacheServer(t)
	c.wants("nil", "CACHE.GET k")
	c.wants(`"LOAD"`, "CACHE.LOCK k 5000 10000")
	c.wants(`"WAIT"`, "CACHE.LOCK k 5000 10000")
	c.wants(`"WAIT"`, "CACHE.LOCK k 5000 10000")
	c.wants(`"LOAD"`, "CACHE.LOCK other 5000 10000")
	c.wants("OK", "CACHE.SET k v 60000")
	c.wants(`"v"`, "CACHE.GET k")
	c.wants(`"HIT"`, "CACHE.LOCK k 5000 10000")
	c.wants("1", "DEL k")
	c.wants(`"LOAD"`, "CACHE.LOCK k 5000 10000")
}

// Values are plain strings: everything the server has for strings works on them.
func TestAValueIsAPlainString(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CACHE.SET k 17 60000")
	c.wants(`"17"`, "GET k")
	c.wants("string", "TYPE k")
	c.wants("18", "INCR k")
	c.wants(`"18"`, "CACHE.GET k")
	if ttl := c.do("PTTL k"); len(ttl) != 5 {
		t.Errorf("PTTL is %s, want just under 60000", ttl)
	}
	c.wants("OK", "SET k plain")
	c.wants(`"plain"`, "CACHE.GET k")
	c.wants(`["HIT" "plain" nil]`, "CACHE.FETCH k 1000 1000 REFRESH 500")
	for _, value := range []string{"", "\x00\r\n\xff", strings.Repeat("x", 1<<20)} {
		c.wants("OK", "CACHE.SET % % 60000", "\x00key\xff", value)
		quoted := c.do("GET %", "\x00key\xff")
		c.wants(quoted, "CACHE.GET %", "\x00key\xff")
		c.wants(`["HIT" `+quoted+" nil]", "CACHE.FETCH % 1000 1000", "\x00key\xff")
	}
}

func TestTheLeaseGoesOnWhenItRanOut(t *testing.T) {
	c := cacheServer(t)
	first := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
	c.wants(`["WAIT" nil]`, "CACHE.LOCK k 60000 60000 WITHTOKEN")
	c.wants("1", "CACHE.EXTEND k % 20", first)
	second := first
	for end := time.Now().Add(patience); second == first && time.Now().Before(end); {
		if reply := c.do("CACHE.LOCK k 60000 60000 WITHTOKEN"); reply != `["WAIT" nil]` {
			second = c.isToLoad(reply)
		}
	}
	c.wants("nil", "CACHE.SET k late 60000 TOKEN %", first)
	c.wants("nil", "CACHE.GET k")
	c.wants("0", "CACHE.EXTEND k % 1000", first)
	c.wants("0", "CACHE.UNLOCK k %", first)
	c.wants("0", "CACHE.FAIL k % gone", first)
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", second)
	c.wants("nil", "CACHE.SET k again 60000 TOKEN %", second)
	c.wants(`"v"`, "CACHE.GET k")
	c.wants("OK", "CACHE.SET k unconditional 60000")
	if n := c.info("stale_sets_refused"); n != 2 {
		t.Errorf("%d stale sets refused, want 2", n)
	}
}

// While nobody took the lease, a late loader is the only one: its value is good
// until the whole load is over.
func TestALateLoaderNobodyReplacedStillStores(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.LOCK k 1 60000 WITHTOKEN")
	over := c.loads("CACHE.LOCK over 1 2 WITHTOKEN")
	for c.do("CACHE.INFO over") != "nil" {
	}
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
	c.wants("nil", "CACHE.SET over v 60000 TOKEN %", over)
}

func TestALoaderMayExtendUpToTheEndOfItsLoadAndLetGo(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.LOCK k 1000 60000 WITHTOKEN")
	c.wants("1", "CACHE.EXTEND k % 30000", token)
	if left := cacheInfo(t, c, "k", "left_ms"); left <= 1000 || left > 30000 {
		t.Errorf("%d ms left after EXTEND 30000", left)
	}
	c.wants("1", "CACHE.EXTEND k % 600000", token)
	left, budget := cacheInfo(t, c, "k", "left_ms"), cacheInfo(t, c, "k", "budget_left_ms")
	if left < budget || left > 60000 {
		t.Errorf("extended beyond the load: %d ms left of %d", left, budget)
	}
	c.wants("0", "CACHE.EXTEND k % 1000", token+"0")
	c.wants("0", "CACHE.EXTEND none % 1000", token)
	c.wants("1", "CACHE.UNLOCK k %", token)
	c.wants("0", "CACHE.UNLOCK k %", token)
	c.wants(`"LOAD"`, "CACHE.LOCK k 1000 1000")
}

func TestFetchAnswersWhatIsThereOrWhoLoads(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000")
	c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000 BLOCK 1")
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
	c.wants(`["HIT" "v" nil]`, "CACHE.FETCH k 60000 60000 BLOCK 0 REFRESH 1000")
	// Refresh ahead: one loads with the old value, the others take it as it is.
	c.wants("1", "PEXPIRE k 5000")
	reply := c.do("CACHE.FETCH k 60000 60000 REFRESH 10000")
	if !strings.HasPrefix(reply, `["LOAD" "v" `) {
		t.Fatalf("%s, want LOAD with the old value", reply)
	}
	c.wants(`["STALE" "v" nil]`, "CACHE.FETCH k 60000 60000 REFRESH 10000 BLOCK 0")
	c.wants(`["HIT" "v" nil]`, "CACHE.FETCH k 60000 60000 REFRESH 1000")
	c.wants(`["HIT" "v" nil]`, "CACHE.FETCH k 60000 60000 REFRESH 0")
	c.wants("OK", "CACHE.SET k new 60000 TOKEN %", c.isToLoad(reply))
	c.wants(`["HIT" "new" nil]`, "CACHE.FETCH k 60000 60000 REFRESH 10000")
}

func TestAbsenceIsRememberedToo(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(2, "CACHE.FETCH k 60000 60000 BLOCK 0")
	c.wants("OK", "CACHE.SETNIL k 60000 TOKEN %", token)
	for _, w := range waiting {
		w.hears(`["ABSENT" nil nil]`)
	}
	c.wants("nil", "CACHE.GET k")
	c.wants(`["ABSENT" nil nil]`, "CACHE.FETCH k 60000 60000")
	c.wants(`"HIT"`, "CACHE.LOCK k 60000 60000")
	c.wants("hash", "TYPE k")
	if ttl := c.do("PTTL k"); len(ttl) != 5 {
		t.Errorf("PTTL is %s, want just under 60000", ttl)
	}
	c.wants("nil", "CACHE.SETNIL k 60000 TOKEN %", token)
	// An absence is not refreshed ahead: keys that callers make up would be loaded
	// again and again.
	c.wants("1", "PEXPIRE k 5000")
	c.wants(`["ABSENT" nil nil]`, "CACHE.FETCH k 60000 60000 REFRESH 10000")
	c.wants("0", "EXISTS none")
	// A value takes its place, and the other way round.
	c.wants("OK", "CACHE.SET k v 60000")
	c.wants(`"v"`, "GET k")
	c.wants("OK", "CACHE.SETNIL k 60000")
	c.wants("nil", "CACHE.GET k")
	c.wants("1", "CACHE.DEL k")
	c.wants("0", "EXISTS k")
}

func TestInvalidationEndsTheLoadsBegunBefore(t *testing.T) {
	c := cacheServer(t)
	for _, how := range []string{
		"CACHE.DEL k", // also of a key that is not there
		"SET k theirs", "SET k theirs PX 60000", "APPEND k x", "SETRANGE k 0 x", "SETBIT k 1 1", "INCRBYFLOAT k 1", "MSET k x other x", "SETEX k 60 x", "BITOP NOT k src", "GETSET k x",
		"EVAL redis.call('SET',KEYS[1],'x') 1 k", "LPUSH k x", "HSET k f v", "RESTORE k 0 %",
		"COPY src k REPLACE", "RENAME src k", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "DEBUG RELOAD",
	} {
		c.wants("OK", "FLUSHALL")
		c.wants("OK", "SET src x")
		dump := c.do("DUMP src")
		token := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
		if reply := c.do(how, unquote(t, dump)); strings.HasPrefix(reply, "-") {
			t.Fatalf("%s: %s", how, reply)
		}
		if n := c.info("leases"); n != 0 {
			t.Errorf("%s: %d leases left", how, n)
		}
		if strings.HasPrefix(how, "LPUSH") || strings.HasPrefix(how, "HSET") {
			c.wants(wrongType, "CACHE.SET k late 60000 TOKEN %", token)
		} else {
			c.wants("nil", "CACHE.SET k late 60000 TOKEN %", token)
		}
	}
	// On a value that is there and being refreshed.
	for _, how := range []string{"DEL k", "UNLINK k", "CACHE.DEL k", "RENAME k other", "MOVE k 1", "GETDEL k"} {
		c.wants("OK", "FLUSHALL")
		c.wants("OK", "CACHE.SET k v 5000")
		token := c.isToLoad(c.do("CACHE.FETCH k 60000 60000 REFRESH 10000"))
		if reply := c.do(how); strings.HasPrefix(reply, "-") || reply == "0" {
			t.Fatalf("%s: %s", how, reply)
		}
		if late, got := c.do("CACHE.SET k late 60000 TOKEN %", token), c.do("GET k"); late != "nil" || got != "nil" {
			t.Errorf("%s: then the late value is answered %s, and GET %s", how, late, got)
		}
	}
}

func TestWhatMakesNoValueWrongEndsNoLease(t *testing.T) {
	c := cacheServer(t)
	for _, how := range []string{"PEXPIRE k 50000", "PERSIST k", "GETEX k PX 40000", "GETEX k PERSIST", "GET k", "TOUCH k", "SETNX k x", "DEL other", "FLUSHDB 1", "SWAPDB 2 3"} {
		c.wants("OK", "CACHE.SET k v 5000")
		token := c.isToLoad(c.do("CACHE.FETCH k 60000 60000 REFRESH 10000"))
		if how == "FLUSHDB 1" {
			other := c.another()
			other.wants("OK", "SELECT 1")
			other.wants("OK", "FLUSHDB")
		} else {
			c.do(how)
		}
		c.wants("OK", "CACHE.SET k new 60000 TOKEN %", token)
	}
	// A value that expires while it is refreshed.
	c.wants("OK", "CACHE.SET k v 2")
	token := c.isToLoad(c.do("CACHE.FETCH k 60000 60000 REFRESH 10000"))
	for c.do("EXISTS k") == "1" {
	}
	c.wants("OK", "CACHE.SET k new 60000 TOKEN %", token)
}

// Each begins to count tokens anew. The first lease of a key has the first token
// before and after, so that only a new beginning tells them apart.
func TestATokenFromBeforeIsGoodForNoLeaseAfter(t *testing.T) {
	for _, how := range []struct {
		name string
		do   func(c *cache) *cache
	}{
		{"a restart", func(c *cache) *cache {
			c.Kill()
			c.Restart()
			return &cache{c.Instance, c.another()}
		}},
		{"a module loaded again", func(c *cache) *cache {
			c.wants("OK", "MODULE LOAD %", c.unload())
			return c
		}},
		{"a failover", func(c *cache) *cache {
			replica := cacheServer(t)
			replica.wants("OK", "REPLICAOF 127.0.0.1 %", c.Port)
			cacheInSync(c, replica)
			replica.wants("OK", "REPLICAOF NO ONE")
			return replica
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			c := cacheServer(t, holdfasttest.WithArgs("--repl-diskless-sync-delay", "0"))
			before := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
			c = how.do(c)
			after := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
			c.wants("nil", "CACHE.SET k old 60000 TOKEN %", before)
			c.wants("0", "CACHE.EXTEND k % 1000", before)
			c.wants("0", "CACHE.FAIL k % gone", before)
			c.wants("0", "CACHE.UNLOCK k %", before)
			c.wants("OK", "CACHE.SET k v 60000 TOKEN %", after)
		})
	}
}

func TestKeysOfDifferentDatabasesAreDifferent(t *testing.T) {
	c := cacheServer(t)
	zero := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
	c.wants("OK", "SELECT 1")
	one := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
	c.wants("nil", "CACHE.SET k v 60000 TOKEN %", zero)
	c.wants("OK", "SET k v")
	c.wants("nil", "CACHE.SET k v 60000 TOKEN %", one)
	c.wants("OK", "SELECT 0")
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", zero)
}

func TestDelAnswersTheNumberOfValuesRemoved(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CACHE.SET a v 60000")
	c.wants("OK", "CACHE.SETNIL b 60000")
	c.wants("1", "RPUSH list x")
	c.wants(wrongType, "CACHE.DEL a b list")
	c.wants("2", "EXISTS a b")
	c.wants("2", "CACHE.DEL a b none a")
	c.wants("0", "CACHE.DEL a b none")
}

func TestTheCacheRefusesWrongInputAndChangesNothing(t *testing.T) {
	c := cacheServer(t)
	c.wants("1", "RPUSH list x")
	c.wants("1", "HSET hash f v")
	c.wants("2", "HSET hash2 cachelock:absent 1 more 1")
	token := c.loads("CACHE.LOCK k 60000 60000 WITHTOKEN")
	for _, wrong := range []string{"list", "hash", "hash2"} {
		for _, line := range []string{
			"CACHE.LOCK % 1000 1000", "CACHE.GET %", "CACHE.SET % v 1000", "CACHE.FETCH % 1000 1000", "CACHE.SETNIL % 1000",
			"CACHE.DEL %", "CACHE.INFO %", "CACHE.UNLOCK % 1", "CACHE.EXTEND % 1 1000", "CACHE.FAIL % 1 m", "CACHE.SET % v 1000 TOKEN 1",
		} {
			c.wants(wrongType, line, wrong)
			c.refusedAlike(strings.Replace(line, "%", wrong, 1))
		}
	}
	const (
		notInt  = "-ERR value is not an integer or out of range"
		syntax  = "-ERR syntax error"
		maximum = "9223372036854775807"
	)
	expire := func(cmd string) string { return "-ERR invalid expire time in '" + cmd + "' command" }
	arity := func(cmd string) string { return "-ERR wrong number of arguments for '" + cmd + "' command" }
	for _, w := range []struct{ line, want string }{
		{"CACHE.LOCK n 0 1000", expire("cache.lock")},
		{"CACHE.LOCK n -5 1000", expire("cache.lock")},
		{"CACHE.LOCK n 1000 0", expire("cache.lock")},
		{"CACHE.LOCK n 1000 -1", expire("cache.lock")},
		{"CACHE.LOCK n " + maximum + " 1000", expire("cache.lock")},
		{"CACHE.LOCK n 1000 " + maximum, expire("cache.lock")},
		{"CACHE.LOCK n x 1000", notInt},
		{"CACHE.LOCK n 1000 1.5", notInt},
		{"CACHE.LOCK n 10000000000000000000000 1", notInt},
		{"CACHE.LOCK n 1000 1000 NOPE", syntax},
		{"CACHE.LOCK n 1000 1000 WITHTOKEN WITHTOKEN", syntax},
		{"CACHE.LOCK n 1000", arity("cache.lock")},
		{"CACHE.SET k v 0", expire("cache.set")},
		{"CACHE.SET k v -1", expire("cache.set")},
		{"CACHE.SET k v " + maximum, expire("cache.set")},
		{"CACHE.SET k v soon", notInt},
		{"CACHE.SET k v 1000 TOKEN", syntax},
		{"CACHE.SET k v 1000 TOKEN x", notInt},
		{"CACHE.SET k v 1000 TOKEN 0", notInt},
		{"CACHE.SET k v 1000 TOKEN -1", notInt},
		{"CACHE.SET k v 1000 TOKEN 1 TOKEN 1", syntax},
		{"CACHE.SET k v 1000 1", syntax},
		{"CACHE.SET k v", arity("cache.set")},
		{"CACHE.SETNIL k 0", expire("cache.setnil")},
		{"CACHE.SETNIL k x", notInt},
		{"CACHE.SETNIL k 1000 v", syntax},
		{"CACHE.SETNIL k", arity("cache.setnil")},
		{"CACHE.GET", arity("cache.get")},
		{"CACHE.GET k k", arity("cache.get")},
		{"CACHE.FETCH n 0 1000", expire("cache.fetch")},
		{"CACHE.FETCH n 1000 x", notInt},
		{"CACHE.FETCH n 1000 1000 BLOCK", syntax},
		{"CACHE.FETCH n 1000 1000 BLOCK -1", expire("cache.fetch")},
		{"CACHE.FETCH n 1000 1000 BLOCK " + maximum, expire("cache.fetch")},
		{"CACHE.FETCH n 1000 1000 BLOCK x", notInt},
		{"CACHE.FETCH n 1000 1000 BLOCK 1 BLOCK 1", syntax},
		{"CACHE.FETCH n 1000 1000 REFRESH -1", expire("cache.fetch")},
		{"CACHE.FETCH n 1000 1000 REFRESH", syntax},
		{"CACHE.FETCH n 1000 1000 NOWAIT", syntax},
		{"CACHE.FETCH n 1000", arity("cache.fetch")},
		{"CACHE.EXTEND k " + token + " 0", expire("cache.extend")},
		{"CACHE.EXTEND k x 1000", notInt},
		{"CACHE.EXTEND k " + token + " x", notInt},
		{"CACHE.EXTEND k " + token, arity("cache.extend")},
		{"CACHE.UNLOCK k x", notInt},
		{"CACHE.UNLOCK k", arity("cache.unlock")},
		{"CACHE.FAIL k x m", notInt},
		{"CACHE.FAIL k 1", arity("cache.fail")},
		{"CACHE.DEL", arity("cache.del")},
		{"CACHE.INFO", arity("cache.info")},
	} {
		c.wants(w.want, w.line)
		c.refusedAlike(w.line)
	}
	c.wants("nil", "CACHE.INFO n")
	c.wants("3", "DBSIZE")
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
}

func TestInfoTellsOfAKey(t *testing.T) {
	c := cacheServer(t)
	c.wants("nil", "CACHE.INFO k")
	token := c.loads("CACHE.FETCH k 60000 120000")
	c.park(2, "CACHE.FETCH k 60000 60000 BLOCK 0")
	for field, want := range map[string][2]int{
		"present": {0, 0}, "absent": {0, 0}, "ttl_ms": {-2, -2}, "bytes": {0, 0}, "waiters": {2, 2},
		"age_ms": {0, 30000}, "left_ms": {30000, 60000}, "budget_left_ms": {90000, 120000},
	} {
		if got := cacheInfo(t, c, "k", field); got < want[0] || got > want[1] {
			t.Errorf("%s is %d, want %v", field, got, want)
		}
	}
	c.wants("OK", "CACHE.SET k 12345 60000 TOKEN %", token)
	for field, want := range map[string][2]int{
		"present": {1, 1}, "absent": {0, 0}, "ttl_ms": {30000, 60000}, "bytes": {5, 5}, "waiters": {0, 0},
	} {
		if got := cacheInfo(t, c, "k", field); got < want[0] || got > want[1] {
			t.Errorf("%s is %d, want %v", field, got, want)
		}
	}
	c.wants("OK", "CACHE.SETNIL k 60000")
	if cacheInfo(t, c, "k", "absent") != 1 || cacheInfo(t, c, "k", "present") != 0 {
		t.Error("an absence is not told of")
	}
}

// The same replies in both protocols, maps as maps where there are maps.
func TestTheCacheSpeaksBothProtocols(t *testing.T) {
	c := cacheServer(t)
	numbers := regexp.MustCompile(`-?\d{2,}`)
	for _, p := range []struct{ hello, info, leased string }{
		{"HELLO 2", `["value" ["present" 1 "absent" 0 "ttl_ms" # "bytes" 1] "lease" nil "waiters" 0 "failed" nil]`,
			`["value" ["present" 0 "absent" 0 "ttl_ms" -2 "bytes" 0] "lease" ["age_ms" 0 "left_ms" # "budget_left_ms" #] "waiters" 0 "failed" nil]`},
		{"HELLO 3", `{"value" {"present" 1 "absent" 0 "ttl_ms" # "bytes" 1} "lease" nil "waiters" 0 "failed" nil}`,
			`{"value" {"present" 0 "absent" 0 "ttl_ms" -2 "bytes" 0} "lease" {"age_ms" 0 "left_ms" # "budget_left_ms" #} "waiters" 0 "failed" nil}`},
	} {
		c.do(p.hello)
		c.wants("OK", "FLUSHALL")
		c.wants("nil", "CACHE.GET k")
		c.wants("nil", "CACHE.INFO k")
		c.loads("CACHE.FETCH k 60000 60000")
		info := regexp.MustCompile(`"age_ms" \d+`).ReplaceAllString(c.do("CACHE.INFO k"), `"age_ms" 0`)
		if got := numbers.ReplaceAllString(info, "#"); got != p.leased {
			t.Errorf("after %s CACHE.INFO of a lease is %s, want %s", p.hello, got, p.leased)
		}
		c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000")
		c.wants(`["WAIT" nil]`, "CACHE.LOCK k 60000 60000 WITHTOKEN")
		c.wants("nil", "CACHE.SET k v 60000 TOKEN 1")
		w := c.another()
		w.do(p.hello)
		w.send("CACHE.FETCH k 60000 60000 BLOCK 0")
		c.until("waiting", 1)
		c.wants("OK", "CACHE.SET k v 60000")
		w.hears(`["HIT" "v" nil]`)
		if got := numbers.ReplaceAllString(c.do("CACHE.INFO k"), "#"); got != p.info {
			t.Errorf("after %s CACHE.INFO of a value is %s, want %s", p.hello, got, p.info)
		}
	}
}

// Hits and misses are counted once, by us and by the server, whichever way they go:
// the plain ones are answered without the module's handlers.
func TestHitsAndMissesAreCountedOnce(t *testing.T) {
	c := cacheServer(t)
	c.do("SET k v")
	for _, p := range []struct {
		command, reply string
		hits, misses   int
	}{
		{"CACHE.GET k", `"v"`, 1, 0},
		{"CACHE.FETCH k 1000 1000", `["HIT" "v" nil]`, 1, 0},
		{"CACHE.FETCH k 1000 1000 BLOCK 0", `["HIT" "v" nil]`, 1, 0},
		{"CACHE.FETCH k 1000 1000 block 7", `["HIT" "v" nil]`, 1, 0},
		{"CACHE.FETCH k 1000 1000 REFRESH 9", `["HIT" "v" nil]`, 1, 0},
		{"CACHE.GET none", "nil", 0, 1},
		{"CACHE.FETCH none 60000 60000", "", 0, 1},
		{"CACHE.FETCH k 0 1000", "-ERR invalid expire time in 'cache.fetch' command", 0, 0},
		{"CACHE.FETCH k 1000 1000 BLOCK", "-ERR syntax error", 0, 0},
		{"CACHE.FETCH k 1000 1000 BLOCK -1", "-ERR invalid expire time in 'cache.fetch' command", 0, 0},
		{"CACHE.FETCH k 1000 1000 BLOCKED 1", "-ERR syntax error", 0, 0},
		{"CACHE.FETCH k 01 1000", "-ERR value is not an integer or out of range", 0, 0},
		{"CACHE.FETCH k 1000 9223372036854775807", "-ERR invalid expire time in 'cache.fetch' command", 0, 0},
	} {
		c.do("CONFIG RESETSTAT")
		hits, misses := c.info("hits"), c.info("misses")
		if reply := c.do(p.command); p.reply != "" && reply != p.reply {
			t.Errorf("%s answers %s, want %s", p.command, reply, p.reply)
		}
		if h, m := c.info("hits")-hits, c.info("misses")-misses; h != p.hits || m != p.misses {
			t.Errorf("%s counts as %d hits and %d misses, want %d and %d", p.command, h, m, p.hits, p.misses)
		}
		if p.hits+p.misses == 0 {
			continue // the key is looked at before the arguments, or not
		}
		stats := unquote(t, c.do("INFO stats"))
		for field, want := range map[string]int{"keyspace_hits": p.hits, "keyspace_misses": p.misses} {
			if !strings.Contains(stats, field+":"+strconv.Itoa(want)+"\r\n") {
				t.Errorf("%s: the server does not count %d %s", p.command, want, field)
			}
		}
	}
}

// unquote is a string as it was before cacheConn.read quoted it.
func unquote(t testing.TB, s string) string {
	t.Helper()
	raw, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return raw
}

// cacheInfo is a number in CACHE.INFO of a key.
func cacheInfo(t testing.TB, c *cache, key, field string) int {
	t.Helper()
	info := c.do("CACHE.INFO %", key)
	m := regexp.MustCompile(`"` + field + `" (-?\d+)`).FindStringSubmatch(info)
	if m == nil {
		t.Fatalf("CACHE.INFO %s has no number %s: %s", key, field, info)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
