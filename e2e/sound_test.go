package e2e

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// A connection that is subscribed may send any command in RESP3, and Valkey from 8.1 on
// blocks no such connection. Whatever the server does, the command is answered, and nobody
// stands in line for a connection that was not blocked.
func TestASubscribedConnectionThatWaitsIsAnsweredAndLeavesNoGhost(t *testing.T) {
	s := holdfasttest.Server(t)
	other := dialCache(t, s.Addr)
	other.wants("1", "LOCK.ACQUIRE l me 600000")
	other.do("CACHE.LOCK k 600000 600000")
	for _, waits := range []struct{ command, inTime, info, nobody string }{
		{"LOCK.ACQUIRE l ghost 60000 BLOCK 50", "0", "LOCK.INFO l", `"waiters" []`},
		{"CACHE.FETCH k 1000 1000 BLOCK 50", `["WAIT" nil nil]`, "CACHE.INFO k", `"waiters" 0`},
		{"TASK.CONSUME g c s 1 50", "nil", "TASK.STATS s", `"waiting" 0 "oldest_age_ms"`},
		{"TASK.CONSUME g c s 1 50 ALSO 1 t", "nil", "TASK.STATS s", `"waiting" 0 "oldest_age_ms"`},
	} {
		c := dialCache(t, s.Addr)
		c.do("HELLO 3")
		c.do("SUBSCRIBE news")
		if got := c.do(waits.command); got != waits.inTime && !strings.HasPrefix(got, "-ERR this connection cannot wait because it is subscribed") {
			t.Errorf("%s: %s", waits.command, got)
		}
		c.wants(`"hello"`, "ECHO hello")
		_ = c.Close()
		if info := other.do(waits.info); !strings.Contains(info, waits.nobody) {
			t.Errorf("after %s: %s", waits.command, info)
		}
	}
	other.wants("1", "LOCK.RELEASE l me")
	other.wants("1", "LOCK.ACQUIRE l next 1000")
}

// A lock that expires while the module has it open, because a call took a newer clock, was
// read after it had been freed. A node of a cluster asks before it touches a key.
func TestLocksHandedOverByExpiryInAClusterAnswerNothingButGrants(t *testing.T) {
	c := holdfasttest.Cluster(t, 1, 0).Nodes[0]
	const locks, rounds = 20, 40
	type waiter struct {
		*cacheConn
		line string
	}
	var all []waiter
	for l := range locks {
		for o := range 2 {
			w := waiter{dialCache(t, c.Addr), fmt.Sprintf("LOCK.ACQUIRE l%d owner%d.%d 15 BLOCK 0", l, l, o)}
			w.send(w.line)
			all = append(all, w)
		}
	}
	for range rounds {
		for _, w := range all {
			if got := w.read(); got != "1" {
				t.Fatalf("%s: %s", w.line, got)
			}
			w.send(w.line)
		}
	}
}

func TestReadingChangesNothing(t *testing.T) {
	s := holdfasttest.Server(t)
	c := dialCache(t, s.Addr)
	for value, encoding := range map[string]string{"123": "int", "word": "embstr", strings.Repeat("x", 1000): "raw"} {
		c.do("SET k %", value)
		for _, read := range []string{"CACHE.GET k", "CACHE.FETCH k 1000 1000", "CACHE.FETCH k 1000 1000 REFRESH 5", "CACHE.LOCK k 1000 1000", "CACHE.INFO k"} {
			c.do(read)
			c.wants(`"`+encoding+`"`, "OBJECT ENCODING k")
		}
	}
	c.do("SET guard 7")
	c.do("LOCK.FENCE guard 6")
	c.wants(`"int"`, "OBJECT ENCODING guard")

	c.do("TASK.PUBLISH s first")
	c.do("CONFIG RESETSTAT")
	for i := range 100 {
		c.do("TASK.PUBLISH s %", i)
		c.do("TASK.CONSUME g c s")
	}
	c.do("TASK.STATS s")
	c.do("LOCK.INFO none")
	c.do("LOCK.ACQUIRE l me 1000")
	if stats := c.do("INFO stats"); !strings.Contains(stats, `keyspace_misses:0`) {
		t.Errorf("misses are counted that no client caused: %s", stats[strings.Index(stats, "keyspace_hits"):])
	}
}

// A timer runs where commands that write are refused. It grants nothing there.
func TestNothingIsGrantedWhereCommandsMayNotWrite(t *testing.T) {
	s := holdfasttest.Server(t)
	c := dialCache(t, s.Addr)
	c.wants("1", "LOCK.ACQUIRE l me 60000")
	w := dialCache(t, s.Addr)
	w.send("LOCK.ACQUIRE l next 60000 BLOCK 1500")
	for !strings.Contains(c.do("LOCK.INFO l"), `"next"`) {
	}
	if got := c.pipelined("LOCK.EXTEND l me 200", "CONFIG SET min-replicas-to-write 1"); got[0] != "1" || got[1] != "OK" {
		t.Fatal(got)
	}
	w.hears("0")
	if info := c.do("LOCK.INFO l"); strings.Contains(info, `"next"`) {
		t.Errorf("granted: %s", info)
	}
}
