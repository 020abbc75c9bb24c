package e2e

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/holdfasttest"
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

func TestOneWaiterSucceedsALoaderThatIsNoMore(t *testing.T) {
	c := cacheServer(t)
	for _, how := range []string{
		"CACHE.UNLOCK k %", "CACHE.DEL k", "SET k v EX 100 GET|DEL k", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "DEBUG RELOAD", "lease runs out",
	} {
		c.wants("OK", "FLUSHALL")
		lease := 60000
		if how == "lease runs out" {
			lease = 30
		}
		loader := c.another()
		token := loader.loads("CACHE.FETCH k % 60000", lease)
		waiting := c.park(3, parkForEver)
		switch set, undo, two := strings.Cut(how, "|"); {
		case two: // in one step, so that nobody sees the value
			c.do("MULTI")
			c.do(set)
			c.do(undo)
			c.do("EXEC")
		case how == "lease runs out":
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

// The value reaches those who wait from the SET itself, whatever becomes of the
// key before they are answered.
func TestAValueDeletedInTheSameTransactionReachesThoseWhoWait(t *testing.T) {
	c := cacheServer(t)
	token := c.loads("CACHE.FETCH k 60000 60000")
	waiting := c.park(300, parkForEver) // more than a batch
	c.do("MULTI")
	c.do("CACHE.SET k v 60000 TOKEN %", token)
	c.do("DEL k")
	c.wants(`[OK 1]`, "EXEC")
	for _, w := range waiting {
		w.hears(`["HIT" "v" nil]`)
	}
	c.wants("0", "EXISTS k")
	c.nobodyWaits()
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
	short := c.another().send("CACHE.FETCH k 60000 60000 BLOCK 50")
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
	c.wants(`["cachelock.max-waiters" "2"]`, "CONFIG GET cachelock.*")
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
	c.loads("CACHE.FETCH k 30 60000")
	waiting := c.park(2, parkForEver)
	c.wants("OK", "CLIENT PAUSE 200 WRITE")
	for cacheInfo(t, c, "k", "left_ms") > 0 {
	}
	token := waiting[0].isToLoad(waiting[0].read())
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
	path := c.do("MODULE LIST")
	c.wants("OK", "MODULE UNLOAD cachelock")
	c.wants(`"v"`, "GET k")
	c.wants("OK", "MODULE LOAD %", cacheModulePath(t, path))
	c.wants("nil", "CACHE.SET other late 60000 TOKEN %", token)
	c.wants(`"v"`, "CACHE.GET k")
	if n := c.info("hits"); n != 1 {
		t.Errorf("%d hits since it was loaded afresh, want 1", n)
	}
}

func cacheModulePath(t testing.TB, list string) string {
	t.Helper()
	for _, word := range strings.Fields(list) {
		if word = strings.Trim(word, `[]"`); strings.HasSuffix(word, ".so") {
			return word
		}
	}
	t.Fatalf("no path in %s", list)
	return ""
}

// A replica reads; who loads is decided on the primary alone.
func TestAReplicaReadsAndGrantsNothing(t *testing.T) {
	soon := holdfasttest.WithArgs("--repl-diskless-sync-delay", "0")
	primary, replica := cacheServer(t, soon), cacheServer(t, soon)
	replica.wants("OK", "REPLICAOF 127.0.0.1 %", primary.Port)
	primary.wants("OK", "CACHE.SET k v 60000")
	primary.wants("OK", "CACHE.SETNIL n 60000")
	cacheInSync(primary, replica)
	const readonly = "-READONLY You can't write against a read only replica."
	replica.wants(`"v"`, "CACHE.GET k")
	replica.wants("nil", "CACHE.GET n")
	replica.wants(`"v"`, "GET k")
	if info := replica.do("CACHE.INFO n"); !strings.Contains(info, `"absent" 1`) {
		t.Errorf("CACHE.INFO on a replica: %s", info)
	}
	for _, line := range []string{
		"CACHE.LOCK x 1000 1000", "CACHE.FETCH k 1000 1000", "CACHE.SET k v 1000", "CACHE.SETNIL k 1000", "CACHE.DEL k", "CACHE.UNLOCK k 1",
		"CACHE.EXTEND k 1 1000", "CACHE.FAIL k 1 m",
	} {
		replica.wants(readonly, line)
	}
	// The expiry is the primary's, to the millisecond.
	if p, r := primary.do("PEXPIRETIME k"), replica.do("PEXPIRETIME k"); p != r {
		t.Errorf("expires at %s on the primary, at %s on the replica", p, r)
	}
	// Whoever waits on a primary that becomes a replica is told to go elsewhere;
	// the promoted one knows of no lease, so a token from before stores nothing.
	token := primary.loads("CACHE.FETCH x 60000 60000")
	waiting := primary.park(2, "CACHE.FETCH x 60000 60000 BLOCK 0")
	replica.wants("OK", "REPLICAOF NO ONE")
	primary.wants("OK", "REPLICAOF 127.0.0.1 %", replica.Port)
	for _, w := range waiting {
		if heard := w.read(); !strings.HasPrefix(heard, "-UNBLOCKED") {
			t.Errorf("heard %s, want -UNBLOCKED", heard)
		}
	}
	primary.nobodyWaits()
	replica.wants("nil", "CACHE.SET x late 60000 TOKEN %", token)
	replica.loads("CACHE.FETCH x 60000 60000")
}

// cacheInSync waits until the replica has all that the primary wrote.
func cacheInSync(primary, replica *cache) {
	for replica.do("DBSIZE") != primary.do("DBSIZE") {
	}
	primary.wants("1", "WAIT 1 0")
}

// What the cache leaves behind is readable by a server that knows nothing of it.
func TestTheDataIsReadableWithoutTheModule(t *testing.T) {
	c := cacheServer(t, holdfasttest.WithArgs("--appendonly", "yes", "--aof-use-rdb-preamble", "no"))
	c.wants("OK", "CACHE.SET k v 60000")
	c.wants("OK", "CACHE.SET gone v 60000")
	c.wants("OK", "CACHE.SETNIL n 60000")
	c.wants("OK", "CACHE.SETNIL k2 60000")
	c.wants("OK", "CACHE.SET k2 w 60000")
	c.wants("1", "CACHE.DEL gone")
	var before []string
	read := []string{"GET k", "GET k2", "HGETALL n", "EXISTS gone", "PEXPIRETIME k", "PEXPIRETIME k2", "PEXPIRETIME n"}
	for _, line := range read {
		before = append(before, c.do(line))
	}
	c.send("SHUTDOWN")
	_, _ = c.tryRead()
	plain := holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithDir(c.Dir), holdfasttest.WithArgs("--appendonly", "yes"))
	p := dialCache(t, plain.Addr)
	for i, line := range read {
		p.wants(before[i], line)
	}
	if text := fmt.Sprint(before); !strings.Contains(text, `"cachelock:absent"`) {
		t.Error(text)
	}
}
