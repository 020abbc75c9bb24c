package e2e

import (
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// The modules share one subscription to key events, and one of them holds it. When that one
// is unloaded the others go on hearing what happens to their keys, in whatever order the
// modules were loaded and unloaded.
func TestAModuleHearsOfItsKeysWhicheverOtherIsUnloaded(t *testing.T) {
	for _, unloaded := range [][]string{{"cachelock"}, {"distlock", "cachelock"}, {"cachelock", "distlock"}} {
		t.Run(strings.Join(unloaded, " then "), func(t *testing.T) {
			s := holdfasttest.Server(t)
			c := dialCache(t, s.Addr)
			// In this order each module becomes the holder of what it is the first to want.
			token := c.loads("CACHE.LOCK page 60000 60000 WITHTOKEN")
			c.wants("1", "LOCK.ACQUIRE l holder 60000")
			next := dialCache(t, s.Addr).send("LOCK.ACQUIRE l next 60000 BLOCK 0")
			await(t, "one to wait", func() bool { return strings.Contains(c.do("LOCK.INFO l"), `"next"`) })
			c.wants("1", "DEL l")
			next.hears("1")
			c.wants("1", "LOCK.RELEASE l next")
			c.wants("1", "CACHE.UNLOCK page %", token)
			c.do("TASK.PUBLISH s x")
			c.do("TASK.CONSUME g c s")
			c.wants("nil", "TASK.CONSUME g c s")
			for _, m := range unloaded {
				await(t, m+" to be unloaded", func() bool { return c.do("MODULE UNLOAD "+m) == "OK" })
			}
			// A stream takes the name of one that the queue believes to be empty.
			c.do("TASK.PUBLISH old first")
			c.do("TASK.CONSUME g gone old")
			c.wants("1", "TASK.FORGET old g gone")
			c.wants("OK", "RENAME old s")
			if got := c.do("TASK.CONSUME g c s"); !strings.Contains(got, `"first"`) {
				t.Errorf("the event was not heard: %s", got)
			}
			waits := dialCache(t, s.Addr).send("TASK.CONSUME g c s 1 0")
			await(t, "a consumer to wait", func() bool { return strings.Contains(c.do("TASK.STATS s"), `"waiting" 1`) })
			c.do("XADD s * payload by-hand")
			if got := waits.read(); !strings.Contains(got, "by-hand") {
				t.Errorf("the waiting consumer hears %s", got)
			}
		})
	}
}
