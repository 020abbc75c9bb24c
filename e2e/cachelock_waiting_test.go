package e2e

import (
	"strings"
	"testing"
)

const parkForEver = "CACHE.FETCH k 60000 60000 BLOCK 0"

func TestTheValueIsPushedToAllWhoWait(t *testing.T) {
	c := cacheServer(t)
	for _, how := range []string{
		"CACHE.SET k v 60000", "CACHE.SET k v 60000 TOKEN %",
		// By any client, with no idea of the cache.
		"SET k v", "MSET other x k v", "RENAME src k", "COPY src k", "MOVE",
	} {
		c.wants("OK", "FLUSHALL")
		c.wants("OK", "SET src v")
		token := c.loads("CACHE.FETCH k 60000 60000")
		waiting := c.park(3, parkForEver)
		switch {
		case how == "MOVE":
			c.do("SELECT 1")
			c.do("SET k v")
			c.wants("1", "MOVE k 0")
			c.do("SELECT 0")
		case strings.Contains(how, "%"):
			c.do(how, token)
		default:
			c.do(how)
		}
		for _, w := range waiting {
			w.hears(`["HIT" "v" nil]`)
		}
		c.nobodyWaits()
	}
}

// Whoever finds a value that others still wait for, because a plain SET stored it
// in the same instant, takes nothing from them, also where it is to be refreshed.
func TestARefreshInTheSameTransactionAsAPlainSetTakesNoValueFromThoseWhoWait(t *testing.T) {
	c := cacheServer(t)
	c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(2, parkForEver)
	c.do("MULTI")
	c.do("SET k v PX 5000")
	c.do("CACHE.FETCH k 60000 60000 REFRESH 10000")
	if reply := c.do("EXEC"); !strings.HasPrefix(reply, `[OK ["LOAD" "v" `) {
		t.Errorf("%s, want LOAD with the old value", reply)
	}
	for _, w := range waiting {
		w.hears(`["HIT" "v" nil]`)
	}
	c.nobodyWaits()
}

// However many values a turn of the event loop brings, it wakes one batch.
func TestOneTurnWakesOneBatch(t *testing.T) {
	c := cacheServer(t)
	var waiting []*cacheConn
	for _, key := range []string{"a", "b"} {
		c.loads("CACHE.FETCH % 60000 60000", key)
		waiting = append(waiting, c.park(200, "CACHE.FETCH % 60000 60000 BLOCK 0", key)...)
	}
	c.do("MULTI") // one turn
	c.do("CACHE.SET a v 60000")
	c.do("CACHE.SET b v 60000")
	c.do("INFO cachelock")
	if reply := c.do("EXEC"); !strings.Contains(reply, `cachelock_waiting:144\r`) {
		t.Errorf("of 400 who wait 256 are to be woken: %s", reply)
	}
	for _, w := range waiting {
		w.hears(`["HIT" "v" nil]`)
	}
	c.nobodyWaits()
}

func TestOneWaiterSucceedsALoaderThatIsNoMore(t *testing.T) {
	c := cacheServer(t)
	for _, how := range []string{
		"CACHE.UNLOCK k %", "CACHE.DEL k", "SET k v EX 100 GET|DEL k", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "DEBUG RELOAD", "lease runs out",
	} {
		c.wants("OK", "FLUSHALL")
		loader := c.another()
		token := loader.loads("CACHE.FETCH k 60000 60000")
		waiting := c.park(3, parkForEver)
		switch set, undo, two := strings.Cut(how, "|"); {
		case two: // in one step, so that nobody sees the value
			c.do("MULTI")
			c.do(set)
			c.do(undo)
			c.do("EXEC")
		case how == "lease runs out":
			c.wants("1", "CACHE.EXTEND k % 20", token)
			_ = loader.Close() // killed
		default:
			if reply := c.do(how, token); strings.HasPrefix(reply, "-") {
				t.Fatalf("%s: %s", how, reply)
			}
		}
		second := waiting[0].isToLoad(waiting[0].read())
		c.until("waiting", 2)
		c.wants("nil", "CACHE.SET k late 60000 TOKEN %", token)
		c.wants("OK", "CACHE.SET k v 60000 TOKEN %", second)
		waiting[1].hears(`["HIT" "v" nil]`)
		waiting[2].hears(`["HIT" "v" nil]`)
		c.nobodyWaits()
	}
}

// All the bad news at once: nobody retries in turn what failed just now.
func TestAFailedLoadIsToldToAllWhoWait(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(3, parkForEver)
	c.wants("0", "CACHE.FAIL k % no", token+"0")
	c.wants("3", "CACHE.FAIL k % %", token, "the database\r\nis down")
	for _, w := range waiting {
		w.hears("-LOADFAILED the database  is down")
	}
	c.wants("0", "CACHE.FAIL k % again", token)
	c.loads("CACHE.FETCH k 60000 60000") // the next is free to try
	c.nobodyWaits()
}

// A key that turned into something else is an error for those who wait as for
// those who come.
func TestWhoWaitsForAKeyOfAnotherTypeIsToldSo(t *testing.T) {
	c := cacheServer(t)
	c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(2, parkForEver)
	c.wants("1", "LPUSH k x")
	for _, w := range waiting {
		w.hears(wrongType)
	}
	c.nobodyWaits()
}

// A waiter that was told to load and died before it heard of it loads nothing:
// the next one is told.
func TestAWaiterThatDiesWhileItIsToldToLoadPassesItOn(t *testing.T) {
	c := cacheServer(t)
	for _, kill := range []string{"CLIENT KILL ID %", "CLIENT UNBLOCK % ERROR"} {
		token := c.loads("CACHE.FETCH k 60000 60000")
		ghost := c.another()
		id := ghost.do("CLIENT ID")
		ghost.send(parkForEver)
		c.until("waiting", 1)
		waiting := c.park(2, parkForEver)
		c.do("MULTI")
		c.do("CACHE.UNLOCK k %", token)
		c.do(kill, id)
		c.wants("[1 1]", "EXEC")
		second := waiting[0].isToLoad(waiting[0].read())
		c.wants("OK", "CACHE.SET k v 60000 TOKEN %", second)
		waiting[1].hears(`["HIT" "v" nil]`)
		c.wants("1", "DEL k")
		c.nobodyWaits()
	}
}

func TestAWaitEndsWhenItsTimeIsOverOrSomeoneEndsIt(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	c.wants(`["WAIT" nil nil]`, "CACHE.FETCH k 60000 60000 BLOCK 20")
	if n := c.info("wait_timeouts"); n != 1 {
		t.Errorf("%d waits ran out, want 1", n)
	}
	for _, end := range []struct{ how, heard string }{
		{"CLIENT UNBLOCK %", `["WAIT" nil nil]`},
		{"CLIENT UNBLOCK % TIMEOUT", `["WAIT" nil nil]`},
		{"CLIENT UNBLOCK % ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"},
	} {
		w := c.another()
		id := w.do("CLIENT ID")
		w.send(parkForEver)
		c.until("waiting", 1)
		c.wants("1", end.how, id)
		w.hears(end.heard)
		c.until("waiting", 0)
		w.wants("PONG", "PING") // and the connection is as good as before
	}
	gone := c.park(1, parkForEver)
	_ = gone[0].Close()
	c.nobodyWaits()
	// Each to its own time: the first leaves, the second is served.
	short := c.another().send("CACHE.FETCH k 60000 60000 BLOCK 2000")
	c.until("waiting", 1)
	long := c.park(1, parkForEver)
	short.hears(`["WAIT" nil nil]`)
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
	long[0].hears(`["HIT" "v" nil]`)
	c.nobodyWaits()
}

// Where nobody may wait, BLOCK is as if it were absent.
func TestNobodyWaitsInTransactionsAndScripts(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	c.do("MULTI")
	c.do(parkForEver)
	c.wants(`[["WAIT" nil nil]]`, "EXEC")
	c.wants(`["WAIT" nil nil]`, "EVAL % 1 k", "local r=redis.call('CACHE.FETCH',KEYS[1],1000,1000,'BLOCK',0) return r")
	c.do("MULTI")
	c.do("CACHE.SET k v 60000 TOKEN %", token)
	c.do(parkForEver)
	c.wants(`[OK ["HIT" "v" nil]]`, "EXEC")
	c.nobodyWaits()
}

func TestNoMoreWaitThanMay(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	c.wants("OK", "CONFIG SET cachelock.max-waiters 2")
	waiting := c.park(2, parkForEver)
	c.wants(`["WAIT" nil nil]`, parkForEver)
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
	for _, w := range waiting {
		w.hears(`["HIT" "v" nil]`)
	}
	c.wants(`["cachelock.max-waiters" "2"]`, "CONFIG GET cachelock.max-w*")
}

// Asking changes nothing that others watch, and a near cache hears of what does.
func TestReadersDisturbNobody(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CACHE.SET k v 60000")
	watcher := c.another()
	watcher.wants("OK", "WATCH k n")
	for _, line := range []string{
		"CACHE.GET k", "CACHE.FETCH k 60000 60000", "CACHE.LOCK k 1000 1000", "CACHE.INFO k", "CACHE.FETCH n 60000 60000",
		"CACHE.LOCK n 60000 60000", "CACHE.GET n", "CACHE.FETCH k 60000 60000 REFRESH 100000",
	} {
		c.do(line)
	}
	watcher.do("MULTI")
	watcher.do("PING")
	watcher.wants("[PONG]", "EXEC")
	near := c.another()
	near.do("HELLO 3")
	near.wants("OK", "CLIENT TRACKING ON")
	near.wants(`"v"`, "CACHE.GET k")
	c.wants("OK", "CACHE.SET k new 60000")
	near.hears(`>["invalidate" ["k"]]`)
}

// While writes are paused nobody is promoted; afterwards nobody is forgotten.
func TestALeaseThatRunsOutInAWritePauseIsPassedOnAfterIt(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(2, parkForEver)
	c.do("MULTI")
	c.do("CACHE.EXTEND k % 30", token)
	c.do("CLIENT PAUSE 200 WRITE")
	c.wants("[1 OK]", "EXEC")
	for cacheInfo(t, c, "k", "left_ms") > 0 {
	}
	token = waiting[0].isToLoad(waiting[0].read())
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
	waiting[1].hears(`["HIT" "v" nil]`)
	c.nobodyWaits()
}

func TestTheModuleGoesOnlyWhenNobodyWaitsAndComesBackAfresh(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(1, parkForEver)
	if reply := c.do("MODULE UNLOAD cachelock"); !strings.HasPrefix(reply, "-ERR") {
		t.Fatalf("unloaded while a client waits: %s", reply)
	}
	c.wants("OK", "CACHE.SET k v 60000 TOKEN %", token)
	waiting[0].hears(`["HIT" "v" nil]`)
	c.nobodyWaits()
	token = c.loads("CACHE.LOCK other 60000 60000 WITHTOKEN")
	path := c.unload()
	c.wants(`"v"`, "GET k")
	c.wants("OK", "MODULE LOAD %", path)
	c.wants("nil", "CACHE.SET other late 60000 TOKEN %", token)
	c.wants(`"v"`, "CACHE.GET k")
	if n := c.info("hits"); n != 1 {
		t.Errorf("%d hits since it was loaded afresh, want 1", n)
	}
}

// Where a command that writes is refused, because no replica follows, a new loader could
// not store what it loads: nobody is made one until the server takes writes again, and
// whoever waits is answered in time.
func TestNobodyIsToldToLoadWhereCommandsMayNotWrite(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	first, second := c.park(1, parkForEver)[0], c.park(1, "CACHE.FETCH k 60000 60000 BLOCK 2000")[0]
	// Together: the loader's time is short.
	c.send("CACHE.EXTEND k % 500", token).send("CONFIG SET min-replicas-to-write 1").hears("1")
	c.hears("OK")
	c.wants("-NOREPLICAS Not enough good replicas to write.", "CACHE.FETCH k 60000 60000")
	second.hears(`["WAIT" nil nil]`)
	for cacheInfo(t, c, "k", "left_ms") > 0 {
	}
	if n := c.info("promotions"); n != 0 {
		t.Errorf("%d waiters are told to load", n)
	}
	c.wants("OK", "CONFIG SET min-replicas-to-write 0")
	first.isToLoad(first.read())
}
