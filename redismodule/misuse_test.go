package redismodule_test

import (
	"strings"
	"testing"
)

func TestNoUseOfAKeyOrAReplyEndsTheServer(t *testing.T) {
	s, c := server(t, "probe")
	for _, create := range []string{
		"GET nothing", "SET k short", "SET k 12345", "SETRANGE k 5000 x", "RPUSH k a b", "HSET k field value other 1",
		"SADD k 1 2", "ZADD k 1 a", "XADD k 1-1 a b", "HSET k field value",
	} {
		for _, expire := range []string{"PERSIST k", "PEXPIRE k 1"} {
			do(t, c, "DEL k list")
			do(t, c, "RPUSH list a b")
			do(t, c, create)
			do(t, c, expire)
			for range 2 { // the second time with a key that the first one kept
				want(t, create, do(t, c, "PROBE.MISUSE k"), "SURVIVED")
			}
			want(t, "twice in a transaction", do(t, c, "EVAL "+`return{redis.call('PROBE.MISUSE','k'),redis.call('PROBE.MISUSE','k')}`+" 0"), []any{"SURVIVED", "SURVIVED"})
		}
	}
	if log := s.Log(); strings.Contains(log, "panic") {
		t.Error(log)
	}
	want(t, "the server", do(t, c, "PING"), "PONG")
}

func TestAShortStringKeepsItsEncodingWhenItIsRead(t *testing.T) {
	_, c := server(t, "probe")
	for value, encoding := range map[string]string{"12345": "int", "word": "embstr", strings.Repeat("x", 5000): "raw"} {
		do(t, c, "SET k", value)
		want(t, "the value", do(t, c, "PROBE.GET k").([]any)[0], any(value))
		want(t, "its encoding", do(t, c, "OBJECT ENCODING k"), any(encoding))
	}
}

func TestTheModulesOwnLookLeavesNoTrace(t *testing.T) {
	_, c := server(t, "probe")
	do(t, c, "SET k v")
	do(t, c, "CONFIG RESETSTAT")
	do(t, c, "PROBE.LOOKAT k")
	do(t, c, "PROBE.LOOKAT none")
	stats := do(t, c, "INFO stats").(string)
	for _, zero := range []string{"keyspace_hits:0", "keyspace_misses:0"} {
		if !strings.Contains(stats, zero) {
			t.Errorf("no %s in %s", zero, stats)
		}
	}
	do(t, c, "PROBE.GET k")
	do(t, c, "PROBE.HGET none f")
	stats = do(t, c, "INFO stats").(string)
	for _, one := range []string{"keyspace_misses:1"} {
		if !strings.Contains(stats, one) {
			t.Errorf("no %s in %s", one, stats)
		}
	}
}

func TestWhatWasReadLargeIsGivenBack(t *testing.T) {
	s, c := server(t, "probe")
	used := func() int64 {
		n, err := c.Do(ctx, "MEMORY", "STATS").Result()
		if err != nil {
			t.Fatal(err)
		}
		return n.(map[any]any)["total.allocated"].(int64)
	}
	before := used()
	writer := s.Client()
	do(t, writer, "HSET big big", strings.Repeat("x", 50<<20))
	if err := writer.Close(); err != nil { // and with it goes its buffer
		t.Fatal(err)
	}
	do(t, c, "PROBE.LOOKAT big")
	do(t, c, "DEL big")
	if left := used() - before; left > 10<<20 {
		t.Errorf("%d bytes are kept of a value that was read once", left)
	}
}
