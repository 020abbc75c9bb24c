package redismodule_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// id is what a command answered that published, for sure.
func id(t *testing.T, why string, v any) string {
	t.Helper()
	s, _ := v.(string)
	if !strings.Contains(s, "-") {
		t.Fatalf("%s: %v is no id", why, v)
	}
	return s
}

func TestPublishingIsXADDWhileNobodyWaits(t *testing.T) {
	_, c := server(t, "probe")
	want(t, "the first of a stream", do(t, c, "TASK.PUBLISH s payload"), "HANDLER")
	id(t, "the usual case", do(t, c, "TASK.PUBLISH s payload"))
	id(t, "with retries", do(t, c, "TASK.PUBLISH s payload 7"))
	entries, _ := c.XRange(ctx, "s", "-", "+").Result()
	if len(entries) != 2 || entries[0].Values["retry_count"] != "0" || entries[1].Values["retry_count"] != "7" || len(entries[1].Values) != 3 {
		t.Errorf("published: %v", entries)
	}
	for _, line := range []string{"s p -1", "s p 01", "s p +1", "s p x", "s p 9999999999999999", "s p 1 1"} {
		want(t, line, do(t, c, "TASK.PUBLISH "+line), "HANDLER")
	}
	do(t, c, "SET k v")
	want(t, "another type", do(t, c, "TASK.PUBLISH k p"), "HANDLER")
	do(t, c, "PROBE.HOLD s")
	do(t, c, "PROBE.HOLD s")
	want(t, "held", do(t, c, "TASK.PUBLISH s p"), "HANDLER")
	do(t, c, "PROBE.LETGO s")
	want(t, "held once", do(t, c, "TASK.PUBLISH s p"), "HANDLER")
	want(t, "so many took the fast path", do(t, c, "PROBE.LETGO s"), int64(2))
	id(t, "let go", do(t, c, "TASK.PUBLISH s p"))
}

// Two busy streams sent each other's publications to the Handler when both belonged in one of
// 4,096 places. Of 200 streams in turn, all take the fast path but for the first round.
func TestBusyStreamsDoNotKeepEachOtherFromTheFastPath(t *testing.T) {
	_, c := server(t, "probe")
	for round := range 3 {
		pipe := c.Pipeline()
		for i := range 200 {
			pipe.Do(ctx, "TASK.PUBLISH", "s:"+strconv.Itoa(i), "p")
		}
		replies, _ := pipe.Exec(ctx)
		for i, r := range replies {
			got, _ := r.(*redis.Cmd).Text()
			if first := got == "HANDLER"; first != (round == 0) {
				t.Fatalf("round %d, stream %d: %s", round, i, got)
			}
		}
	}
}

// changes are commands after which a stream may be another one.
var changes = []string{
	"RENAME old s", "COPY old s REPLACE", "XGROUP CREATE s h 0", "XGROUP DESTROY s g", "DEL s", "EXPIRE s 100", "XTRIM s MAXLEN 0", "MOVE s 1",
	"FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "DEBUG RELOAD", "EVAL redis.call('DEL','s') 0", "SORT old BY nosort STORE s",
}

// twoStreams begins with nothing but the stream s, which has the group g and is watched, and old.
func twoStreams(t *testing.T, c *redis.Client) {
	t.Helper()
	for _, line := range []string{"SELECT 0", "FLUSHALL", "XADD s 1-1 a b", "XADD old 1-1 a b", "XGROUP CREATE s g 0", "PROBE.WATCH s"} {
		do(t, c, line)
	}
}

// change sends one of the changes.
func change(t *testing.T, c *redis.Client, line string) {
	t.Helper()
	if line == "SORT old BY nosort STORE s" {
		do(t, c, "DEL old s")
		do(t, c, "RPUSH old a")
	}
	if got := do(t, c, line); line != "XGROUP DESTROY s g" && strings.HasPrefix(strings.ToUpper(line), "ERR") {
		t.Fatalf("%s: %v", line, got)
	}
	do(t, c, "SELECT 0")
}

func TestAPassIsShutByWhateverChangesItsStreamBeforeTheModuleHearsOfIt(t *testing.T) {
	_, c := server(t, "probe")
	other := redis.NewClient(&redis.Options{Addr: c.Options().Addr, DB: 1})
	defer other.Close()
	ack := func() any { return do(t, c, "TASK.ACK s g 1-1") }
	begin := func() {
		twoStreams(t, c)
		do(t, c, "PROBE.PASS task.ack s g guard")
	}
	end := func() { do(t, c, "PROBE.UNWATCH s") }
	begin()
	want(t, "open", ack(), int64(0))
	want(t, "another group", do(t, c, "TASK.ACK s h 1-1"), "HANDLER")
	want(t, "another database", do(t, other, "TASK.ACK s g 1-1"), "HANDLER")
	want(t, "two ids", do(t, c, "TASK.ACK s g 1-1 1-2"), "HANDLER")
	do(t, c, "SET guard 1")
	want(t, "its guard is there", ack(), "HANDLER")
	do(t, c, "DEL guard")
	do(t, c, "XADD s * a b")
	do(t, c, "XADD s2 * a b")
	want(t, "after harmless events", ack(), int64(0))
	end()
	want(t, "nobody watches its stream", ack(), "HANDLER")
	for _, line := range append(changes, "PROBE.SHUT task.ack s g") {
		begin()
		change(t, c, line)
		want(t, "after "+line, ack(), "HANDLER")
		end()
	}
	begin()
	do(t, c, "MODULE UNLOAD probe")
	want(t, "loaded again", do(t, c, "MODULE LOAD", filepath.Join(built, "probe.so")), "OK")
	want(t, "in the module's next life", ack(), "HANDLER")
}

func TestWhatPassesAreUsedForIsCountedAlsoOnceTheyAreShut(t *testing.T) {
	_, c := server(t, "probe")
	do(t, c, "PROBE.WATCH s")
	for i := range 5 {
		do(t, c, "XADD s", "1-"+string(rune('1'+i)), "a", "b")
	}
	do(t, c, "XGROUP CREATE s g 0")
	want(t, "without a pass", do(t, c, "TASK.CONSUME g c s"), "HANDLER")
	do(t, c, "PROBE.PASS task.consume s g")
	do(t, c, "PROBE.PASS task.ack s g")
	if got := do(t, c, "TASK.CONSUME g c s 3 1000"); len(got.([]any)) != 1 {
		t.Errorf("consumed %v", got)
	}
	for _, line := range []string{"0", "1001", "1 -1", "1 x", "1 1 1"} {
		want(t, line, do(t, c, "TASK.CONSUME g c s "+line), "HANDLER")
	}
	want(t, "the module's own consumer", do(t, c, "TASK.CONSUME g taskqueue:x s"), "HANDLER")
	want(t, "acknowledged", do(t, c, "TASK.ACK s g 1-2"), int64(1))
	want(t, "and deleted", c.XLen(ctx, "s").Val(), int64(4))
	do(t, c, "EXPIRE s 100")
	want(t, "shut", do(t, c, "TASK.ACK s g 1-1"), "HANDLER")
	want(t, "what came of it", do(t, c, "PROBE.SHUT task.ack s g"), int64(1))
	want(t, "what came of the other, opened anew", do(t, c, "PROBE.PASS task.consume s g"), []any{int64(0), int64(3)})
	do(t, c, "TASK.CONSUME g c s 10")
	want(t, "nothing is left", do(t, c, "TASK.CONSUME g c s"), "HANDLER")
	do(t, c, "XADD s 9-1 a b")
	want(t, "what found nothing is not tried again", do(t, c, "TASK.CONSUME g c s"), "HANDLER")
	do(t, c, "PROBE.PASS task.ack s g nobody alone")
	want(t, "acknowledged", do(t, c, "TASK.ACK s g 1-1"), int64(1))
	want(t, "and kept", c.XLen(ctx, "s").Val(), int64(5))
}

// Two busy streams shut each other's passes for ever when both belonged in one of 4,096
// places. However many are open at once, all of them are used.
func TestManyPassesAreOpenAtOnce(t *testing.T) {
	_, c := server(t, "probe")
	pipe := c.Pipeline()
	const n = 20_000
	use := make([]*redis.Cmd, n)
	pipe.Do(ctx, "PROBE.WATCH", "s")
	for i := range n {
		pipe.Do(ctx, "PROBE.PASS", "task.ack", "s", i)
	}
	for i := range n {
		use[i] = pipe.Do(ctx, "TASK.ACK", "s", i, "1-1")
	}
	_, _ = pipe.Exec(ctx)
	for i := range n {
		if got, _ := use[i].Result(); got != int64(0) {
			t.Fatalf("pass %d is not open: %v", i, got)
		}
	}
}

func TestTheFastPathReachesReplicasAndTheFileAsTheServersOwnCommands(t *testing.T) {
	s, c := server(t, "probe", holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	do(t, c, "PROBE.WATCH s")
	do(t, c, "XGROUP CREATE s g 0 MKSTREAM")
	do(t, c, "PROBE.PASS task.consume s g")
	do(t, c, "PROBE.PASS task.ack s g")
	do(t, c, "TASK.PUBLISH s p") // the first of a stream is the Handler's
	first, second := id(t, "one", do(t, c, "TASK.PUBLISH s p")), id(t, "two", do(t, c, "TASK.PUBLISH s p"))
	do(t, c, "TASK.CONSUME g c s 2")
	want(t, "acknowledged", do(t, c, "TASK.ACK s g", first), int64(1))
	s.Kill()
	s.Restart()
	want(t, "the entries", c.XLen(ctx, "s").Val(), int64(1))
	pending := c.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: "s", Group: "g", Start: "-", End: "+", Count: 9}).Val()
	if len(pending) != 1 || pending[0].ID != second || pending[0].Consumer != "c" {
		t.Errorf("pending: %v", pending)
	}
}

func TestTheFastPathCanBeTurnedOffForATest(t *testing.T) {
	_, c := server(t, "probe", holdfasttest.WithModules(filepath.Join(built, "probe.so")+" no-fast-path limit 9"))
	want(t, "publish", do(t, c, "TASK.PUBLISH s p"), "HANDLER")
	want(t, "the arguments behind it count", do(t, c, "CONFIG GET probe.limit"), map[any]any{"probe.limit": "9"})
}

func TestAHitOrAMissIsCountedOnceWhateverTheLength(t *testing.T) {
	_, c := server(t, "probe")
	short, long := "v", strings.Repeat("x", 1000)
	for _, value := range []string{short, long, long, "", long, "", short, short, "", short} {
		do(t, c, "DEL k")
		if value != "" {
			do(t, c, "SET k", value)
		}
		for range 3 {
			do(t, c, "CONFIG RESETSTAT")
			hits, misses := "1", "0"
			if got := do(t, c, "CACHE.GET k"); value == "" {
				hits, misses = "0", "1"
				want(t, "nothing", got, "HANDLER")
			} else {
				want(t, "the value", got, any(value))
			}
			stats := do(t, c, "INFO stats").(string)
			if !strings.Contains(stats, "keyspace_hits:"+hits) || !strings.Contains(stats, "keyspace_misses:"+misses) {
				t.Errorf("a value of %d bytes: %s", len(value), stats[strings.Index(stats, "keyspace_hits"):][:60])
			}
		}
	}
}
