package redismodule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// heard checks which ids the module heard of since it was asked last: + added, - acknowledged.
func heard(t *testing.T, c *redis.Client, why string, ids ...string) {
	t.Helper()
	got := do(t, c, "PROBE.HEARD").([]any)
	for i := range max(len(got), len(ids)) {
		if i >= len(got) || i >= len(ids) || got[i] != ids[i] {
			t.Fatalf("%s: the module heard of %d, want %d; the first %d are right", why, len(got), len(ids), i)
		}
	}
}

func TestARoomIsForSoManyTasksOfItsKeyAlone(t *testing.T) {
	_, c := server(t, "probe")
	do(t, c, "PROBE.WATCH s")
	do(t, c, "XADD s 1-1 a b")
	do(t, c, "TASK.PUBLISH s p") // the first of a stream is the Handler's
	want(t, "no room", do(t, c, "TASK.PUBLISH s p KEY a"), "HANDLER")
	do(t, c, "PROBE.ROOM s a 2")
	do(t, c, "SELECT 1")
	want(t, "another database", do(t, c, "TASK.PUBLISH s p KEY a"), "HANDLER")
	do(t, c, "SELECT 0")
	for _, line := range []string{"s p KEY b", "s2 p KEY a", "s p KEY a WEIGHT 2", "s p x KEY a", "s p -1 KEY a", "s p LIMIT 5 KEY a", "s p YEK a"} {
		want(t, line, do(t, c, "TASK.PUBLISH "+line), "HANDLER")
	}
	one := id(t, "the first", do(t, c, "TASK.PUBLISH s p KEY a"))
	heard(t, c, "the first", "+"+one)
	two := id(t, "the second, with retries", do(t, c, "TASK.PUBLISH s p 7 key a"))
	want(t, "a third", do(t, c, "TASK.PUBLISH s p KEY a"), "HANDLER")
	heard(t, c, "the second", "+"+two)
	entries, _ := c.XRevRangeN(ctx, "s", "+", "-", 2).Result()
	if got := fmt.Sprintf("%v %v %v %v %d", entries[0].Values["payload"], entries[0].Values["retry_count"], entries[0].Values["key"], entries[1].Values["retry_count"], len(entries[0].Values)); got != "p 7 a 0 4" {
		t.Errorf("published: %v", entries)
	}
	do(t, c, "PROBE.ROOM s a 1")
	do(t, c, "PROBE.HOLD s")
	want(t, "somebody waits", do(t, c, "TASK.PUBLISH s p KEY a"), "HANDLER")
	do(t, c, "PROBE.LETGO s")
	id(t, "nobody waits", do(t, c, "TASK.PUBLISH s p KEY a"))
}

func TestARoomIsShutByWhateverChangesItsStreamBeforeTheModuleHearsOfIt(t *testing.T) {
	_, c := server(t, "probe")
	publish := func() any { return do(t, c, "TASK.PUBLISH s p KEY a") }
	begin := func() {
		twoStreams(t, c)
		do(t, c, "TASK.PUBLISH s p")
		do(t, c, "PROBE.ROOM s a 5")
	}
	end := func() { do(t, c, "PROBE.UNWATCH s") }
	begin()
	id(t, "open", publish())
	do(t, c, "XADD s2 * a b")
	id(t, "after harmless events", publish())
	end()
	want(t, "nobody watches its stream", publish(), "HANDLER")
	for _, line := range changes {
		begin()
		change(t, c, line)
		want(t, "after "+line, publish(), "HANDLER")
		end()
	}
}

// What the module has not heard of stands in a log of 256. When it is full the Handler is asked, which finds it read.
func TestTheModuleHearsWhatWasDoneWithRoomsBeforeAnythingElse(t *testing.T) {
	_, c := server(t, "probe")
	do(t, c, "PROBE.WATCH s")
	do(t, c, "XGROUP CREATE s g 0 MKSTREAM")
	do(t, c, "TASK.PUBLISH s p")
	const n, log = 300, 256
	for _, key := range []string{"a", "b"} {
		do(t, c, "PROBE.ROOM s "+key+" 1000")
	}
	do(t, c, "PROBE.HEARD")
	var ids []string
	for i := range n {
		got := do(t, c, "TASK.PUBLISH s p KEY "+[]string{"a", "b"}[i%2])
		if full := got == "HANDLER"; full != (i == log) {
			t.Fatalf("task %d: %v", i, got)
		} else if !full {
			ids = append(ids, "+"+got.(string))
		}
	}
	do(t, c, "XREADGROUP GROUP g c STREAMS s >")
	do(t, c, "PROBE.PASS task.ack s g nobody logged")
	first := c.XRangeN(ctx, "s", "-", "+", 1).Val()[0].ID
	ms, seq, _ := strings.Cut(first, "-")
	for _, other := range []string{"0" + first, ms + "-0" + seq, ms, first + "x", "x"} {
		want(t, "an id that the server would write otherwise", do(t, c, "TASK.ACK s g "+other), "HANDLER")
	}
	want(t, "acknowledged", do(t, c, "TASK.ACK s g "+first), int64(1))
	want(t, "again", do(t, c, "TASK.ACK s g "+first), int64(0))
	heard(t, c, "in their order", append(ids, "-"+first)...)
}
