package e2e

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

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

// FAILOVER first holds back all writes and then makes the primary a replica. Whoever
// waits meanwhile is answered, with what was decided or by being sent away.
func TestAFailoverLeavesNobodyWaiting(t *testing.T) {
	soon := holdfasttest.WithArgs("--repl-diskless-sync-delay", "0")
	for _, decided := range []string{"CACHE.SET k v 60000 TOKEN %", "CACHE.UNLOCK k %"} {
		primary, replica := cacheServer(t, soon), cacheServer(t, soon)
		replica.wants("OK", "REPLICAOF 127.0.0.1 %", primary.Port)
		primary.wants("OK", "CACHE.SET other v 60000")
		cacheInSync(primary, replica)
		token := primary.loads("CACHE.FETCH k 60000 60000")
		waiting := primary.park(300, parkForEver) // more than a batch
		primary.do("MULTI")
		primary.do(decided, token)
		primary.do("FAILOVER")
		if reply := primary.do("EXEC"); !strings.HasSuffix(reply, " OK]") {
			t.Fatal(reply)
		}
		for _, w := range waiting {
			switch status, _, _ := strings.Cut(w.read(), " "); status {
			case `["HIT"`, `["LOAD"`, "-UNBLOCKED":
			default:
				t.Errorf("heard %s", status)
			}
		}
		primary.nobodyWaits()
	}
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
