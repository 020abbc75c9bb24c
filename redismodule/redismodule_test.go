package redismodule_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

var (
	ctx   = context.Background()
	built string // the folder of the modules under test
)

// The modules are built as a user builds them, and loaded into a real server.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "redismodule-")
	if err != nil {
		panic(err)
	}
	built = dir
	for name, pkg := range map[string]string{"probe": "./internal/probe", "doorbell": "./example/doorbell"} {
		so := filepath.Join(dir, name+".so")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-o", so, pkg)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
			os.Exit(1)
		}
		if err := os.Chmod(so, 0o755); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func server(t *testing.T, module string, options ...holdfasttest.Option) (*holdfasttest.Instance, *redis.Client) {
	t.Helper()
	s := holdfasttest.Server(t, append([]holdfasttest.Option{holdfasttest.WithModules(filepath.Join(built, module+".so"))}, options...)...)
	return s, s.Client()
}

func do(t *testing.T, c interface {
	Do(context.Context, ...any) *redis.Cmd
}, line string, more ...any) any {
	t.Helper()
	args := []any{}
	for f := range strings.FieldsSeq(line) {
		args = append(args, f)
	}
	v, err := c.Do(ctx, append(args, more...)...).Result()
	if err == redis.Nil {
		return nil
	}
	if err != nil {
		return err.Error()
	}
	return v
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %#v, want %#v", what, got, want)
	}
}

// logged waits until the probe's log has an entry, and answers the log.
func logged(t *testing.T, c *redis.Client, entry string) []string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		log, err := c.Do(ctx, "PROBE.LOG").StringSlice()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(log, entry) {
			return log
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", entry, log)
		}
	}
}

func TestEveryReplyTypeReachesBothProtocols(t *testing.T) {
	s, c := server(t, "probe")
	c2 := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, DisableIdentity: true})
	defer c2.Close()
	const small = int64(-1 << 63)
	want(t, "RESP3", do(t, c, "PROBE.TYPES"), []any{small, "", "a\x00\r\nb", "OK", nil, nil,
		map[any]any{"k": 0.5}, []any{int64(1), map[any]any{}}, []any{}})
	want(t, "RESP2", do(t, c2, "PROBE.TYPES"), []any{small, "", "a\x00\r\nb", "OK", nil, nil,
		[]any{"k", "0.5"}, []any{int64(1), []any{}}, []any{}})
}

func TestAnErrorIsOneLineWhateverItsText(t *testing.T) {
	_, c := server(t, "probe")
	want(t, "error", do(t, c, "PROBE.ERROR", "CODE a\r\n+OK\x00b"), "CODE a  +OK b")
	want(t, "in step after it", do(t, c, "PROBE.NOOP"), int64(1))
}

func TestArgumentsAreBinarySafeAndAnyNumber(t *testing.T) {
	_, c := server(t, "probe")
	args := []any{"PROBE.ECHO"}
	var echo []any
	for i := range 300 {
		s := strings.Repeat("\x00\xff\r\n", i)
		args, echo = append(args, s), append(echo, s)
	}
	want(t, "echo", c.Do(ctx, args...).Val(), any(echo))
}

func TestIntegersAreReadAsStrictlyAsTheServerReadsThem(t *testing.T) {
	_, c := server(t, "probe")
	for _, s := range []string{"0", "-1", "7", "9223372036854775807", "-9223372036854775808", "10", "-10",
		"", "-", "+1", " 1", "1 ", "01", "-0", "-01", "0x1", "1.0", "1e3", "9223372036854775808",
		"-9223372036854775809", "18446744073709551616", "99999999999999999999", "999999999999999999999"} {
		server := do(t, c, "HINCRBY scratch "+strings.ReplaceAll("f", "f", "field"), s)
		do(t, c, "DEL scratch")
		want(t, fmt.Sprintf("%q", s), do(t, c, "PROBE.INT", s), server)
	}
}

func TestAPanicIsAnErrorReplyAndTheServerLives(t *testing.T) {
	// Not the helper's server: it takes a contained panic for a failure.
	s, c := server(t, "probe")
	want(t, "panic", do(t, c, "PROBE.PANIC"), "ERR internal error, see the server's log")
	want(t, "panic after the reply", do(t, c, "PROBE.PANIC x"), int64(1))
	want(t, "the server lives", do(t, c, "PROBE.NOOP"), int64(1))
	if !s.AwaitLog("panic: assignment to entry in nil map") || !s.AwaitLog("main.go") {
		t.Errorf("the log does not show the panic and where it was:\n%s", s.Log())
	}
	s.ExpectPanics()
}

func TestAPanicInAnyCallbackIsContained(t *testing.T) {
	s, c := server(t, "probe")
	needsUnblock(t, c)
	s.ExpectPanics()
	breakIn := func(where string) {
		t.Helper()
		want(t, "break", do(t, c, "PROBE.BREAK", where), "OK")
	}
	contained := func(where string) {
		t.Helper()
		if !s.AwaitLog("probe: panic: in " + where) {
			t.Errorf("the log lacks a panic in %s:\n%s", where, s.Log())
		}
		want(t, "the server lives", do(t, c, "PROBE.NOOP"), int64(1))
	}
	const internal = "ERR internal error, see the server's log"

	breakIn("info")
	do(t, c, "INFO probe")
	contained("info")
	breakIn("flush")
	do(t, c, "FLUSHALL")
	contained("flush")
	breakIn("key event")
	do(t, c, "PROBE.WATCH k")
	want(t, "set", do(t, c, "SET k v"), "OK")
	contained("key event")

	do(t, c, "TASK.PUBLISH s p")
	do(t, c, "XADD s * a b")
	do(t, c, "PROBE.WATCH s")
	do(t, c, "PROBE.ROOM s a 1")
	breakIn("catch up")
	do(t, c, "TASK.PUBLISH s p KEY a")
	want(t, "the Handler is called all the same", do(t, c, "TASK.PUBLISH s p KEY a"), "HANDLER")
	contained("catch up")
	do(t, c, "PROBE.UNWATCH s")

	// Whoever waits is answered, and others are served as ever.
	breakIn("timer")
	_, _, late := wait(t, c, "late", 50)
	do(t, c, "PROBE.TIMER 0 ticks")
	contained("timer")
	want(t, "the time of one who waits runs on", <-late, nil)
	breakIn("reply")
	_, _, woken := wait(t, c, "woken", 0)
	do(t, c, "PROBE.WAKE woken")
	want(t, "reply", <-woken, any(internal))
	contained("reply")
	breakIn("timeout")
	_, id, unblocked := wait(t, c, "unblocked", 0)
	do(t, c, fmt.Sprint("CLIENT UNBLOCK ", id))
	want(t, "timeout", <-unblocked, any(internal))
	contained("timeout")
	breakIn("gone")
	_, id, killed := wait(t, c, "killed", 0)
	do(t, c, fmt.Sprint("CLIENT KILL ID ", id))
	<-killed
	contained("gone")

	// No handle leaked, or this would be refused for ever.
	do(t, c, "PROBE.UNWATCH k")
	breakIn("unload")
	want(t, "unload", strings.HasPrefix(fmt.Sprint(do(t, c, "MODULE UNLOAD probe")), "ERR"), true)
	contained("unload")
	breakIn("load")
	want(t, "unload", do(t, c, "MODULE UNLOAD probe"), "OK")
	load := "MODULE LOAD " + filepath.Join(built, "probe.so")
	want(t, "load", strings.HasPrefix(fmt.Sprint(do(t, c, load)), "ERR"), true)
	want(t, "load again", do(t, c, load), "OK")
	contained("load")
}

func TestWhatAModuleLogsIsInTheServersLog(t *testing.T) {
	s, c := server(t, "probe")
	do(t, c, "PROBE.SAY")
	for _, line := range []string{"* <probe> hello to anna", "its end"} {
		if !s.AwaitLog(line) {
			t.Errorf("no %q in the log:\n%s", line, s.Log())
		}
	}
	if n := strings.Count(s.Log(), "a line of a long text"); n != 100 {
		t.Errorf("%d of 100 lines of a long text", n)
	}
	if strings.Contains(s.Log(), "not unless asked for") {
		t.Error("debug lines come unasked")
	}
}

func TestHashesAreWrittenReplicatedAndRead(t *testing.T) {
	s, c := server(t, "probe", holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always", "--hash-max-listpack-value", "16"))
	at := time.Now().Add(time.Hour).UnixMilli()
	long := strings.Repeat("long ", 100)
	want(t, "put", do(t, c, "PROBE.HPUT h", "f\x00", "v", at), "OK")
	want(t, "put", do(t, c, "PROBE.HPUT h", "g", long, -1), "OK")
	want(t, "get", do(t, c, "PROBE.HGET h", "f\x00"), "v")
	want(t, "get long", do(t, c, "PROBE.HGET h", "g"), long)
	want(t, "get none", do(t, c, "PROBE.HGET h", "x"), nil)
	want(t, "all", do(t, c, "PROBE.HALL h"), map[any]any{"f\x00": "v", "g": long})
	want(t, "del", do(t, c, "PROBE.HDEL h", "g"), int64(1))
	want(t, "expiry", do(t, c, "PEXPIRETIME h"), at)
	do(t, c, "PROBE.HPUT gone f v -1")
	want(t, "delete", do(t, c, "PROBE.DEL gone"), int64(1))
	want(t, "delete nothing", do(t, c, "PROBE.DEL gone"), int64(0))
	digest := do(t, c, "DEBUG DIGEST")
	s.Kill()
	s.Restart()
	want(t, "after kill -9 and the AOF", do(t, c, "DEBUG DIGEST"), digest)
	want(t, "all", do(t, c, "PROBE.HALL h"), map[any]any{"f\x00": "v"})
}

func TestEntriesAndMembersAreWrittenReplicatedAndHeardOf(t *testing.T) {
	s, c := server(t, "probe", holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always", "--notify-keyspace-events", "Kt"))
	heard := c.Subscribe(ctx, "__keyspace@0__:s")
	defer heard.Close()
	if _, err := heard.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	want(t, "no stream", do(t, c, "PROBE.ADD s f v"), nil)
	want(t, "and none was made", do(t, c, "EXISTS s"), int64(0))
	do(t, c, "XADD s 1-1 f v")
	waits := make(chan any, 1)
	other := c.Conn()
	defer other.Close()
	go func() { waits <- do(t, other, "XREAD BLOCK 0 STREAMS s $") }()
	for !strings.Contains(do(t, c, "INFO clients").(string), "blocked_clients:1") {
		time.Sleep(time.Millisecond)
	}
	long := strings.Repeat("long ", 100)
	id, ok := do(t, c, "PROBE.ADD s a b c", long).(string)
	entry := []any{id, []any{"a", "b", "c", long}}
	want(t, "an entry", ok, true)
	want(t, "the stream", do(t, c, "XRANGE s (1-1 +"), []any{entry})
	if got := fmt.Sprint(<-waits); !strings.Contains(got, id) {
		t.Errorf("who waited was answered %s", got)
	}
	for range 2 {
		m, err := heard.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "the event", m.Payload, "xadd")
	}
	do(t, c, "XSETID s 18446744073709551615-18446744073709551615")
	want(t, "a stream that is full", do(t, c, "PROBE.ADD s a b"), nil)
	want(t, "half a field", do(t, c, "PROBE.ADD s a"), nil)
	do(t, c, "SET text x")
	want(t, "no stream", do(t, c, "PROBE.ADD text a b"), nil)

	do(t, c, "ZADD z 0 a 0", "b\x00")
	want(t, "no member", do(t, c, "PROBE.ZREM z x"), int64(0))
	want(t, "a member", do(t, c, "PROBE.ZREM z a"), int64(1))
	want(t, "no set", do(t, c, "PROBE.ZREM text a"), int64(0))
	do(t, c, "ZADD gone 0 a")
	want(t, "the last", do(t, c, "PROBE.ZREM gone a"), int64(1))
	want(t, "the set", do(t, c, "EXISTS gone"), int64(0))
	digest := do(t, c, "DEBUG DIGEST")
	s.Kill()
	s.Restart()
	want(t, "after kill -9 and the AOF", do(t, c, "DEBUG DIGEST"), digest)
}

func TestWatchAbortsOnlyWhenSomethingChanged(t *testing.T) {
	_, c := server(t, "probe")
	exec := func(meanwhile string) (err error) {
		return c.Watch(ctx, func(tx *redis.Tx) error {
			do(t, c, meanwhile)
			_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Ping(ctx); return nil })
			return err
		}, "k")
	}
	want(t, "a look", exec("PROBE.LOOK k"), error(nil))
	if err := exec("PROBE.HPUT k f v -1"); err != redis.TxFailedErr {
		t.Errorf("a write: %v, want the transaction to fail", err)
	}
	if err := exec("PROBE.DEL k"); err != redis.TxFailedErr {
		t.Errorf("a delete: %v, want the transaction to fail", err)
	}
}

func TestStringsAreReadInPlaceWhateverTheirEncoding(t *testing.T) {
	_, c := server(t, "probe")
	for _, v := range []string{"", "12345", "short", strings.Repeat("x", 10000)} {
		c.Set(ctx, "s", v, 0)
		want(t, "get", do(t, c, "PROBE.GET s"), []any{v, int64(-1), int64(len(v))})
		want(t, "and again by GET", do(t, c, "GET s"), v)
	}
	want(t, "wrong type", do(t, c, "PROBE.GET none"), "WRONGTYPE Operation against a key holding the wrong kind of value")
}

func TestCallsGoThroughWithTheirErrors(t *testing.T) {
	_, c := server(t, "probe")
	want(t, "set", do(t, c, "PROBE.CALL E SET a 1 PX 100000 NX"), "OK")
	want(t, "nil", do(t, c, "PROBE.CALL E SET a 1 PX 100000 NX"), nil)
	want(t, "array", do(t, c, "PROBE.CALL E MGET a b a"), []any{"1", nil, "1"})
	want(t, "error", do(t, c, "PROBE.CALL E LPUSH a x"), "WRONGTYPE Operation against a key holding the wrong kind of value")
	want(t, "refused", do(t, c, "PROBE.CALL M NONSUCH"), "ERR the server refused a call of the module")
	c.ConfigSet(ctx, "maxmemory", "1")
	want(t, "memory full", strings.HasPrefix(fmt.Sprint(do(t, c, "PROBE.CALL EM SET b 1")), "OOM "), true)
}

// A reply is the same to the client whichever way it is passed on, in both
// protocols.
func TestAReplyPassedOnIsTheReply(t *testing.T) {
	s, _ := server(t, "probe")
	for _, protocol := range []int{2, 3} {
		o := *s.Client().Options()
		o.Protocol = protocol
		c := redis.NewClient(&o)
		defer c.Close()
		do(t, c, "FLUSHALL")
		do(t, c, "SET a", "x\r\n\x00y")
		do(t, c, "SET empty", "")
		do(t, c, "XADD s 1-0 f v g", strings.Repeat("long ", 5000))
		do(t, c, "XADD s 2-0 f", "")
		for _, line := range []string{"MGET a b empty a", "GET a", "GET b", "GET empty", "STRLEN a", "LRANGE none 0 -1", "XRANGE s - +", "XREAD STREAMS none 0", "XREAD STREAMS s 0", "ZRANK none x", "DECRBY n 5", "EXISTS a"} {
			do(t, c, "SET n 2")
			answer := do(t, c, "PROBE.CALL E "+line)
			for _, way := range []string{"PROBE.CALLRAW", "PROBE.CALLLAST"} {
				do(t, c, "SET n 2")
				want(t, fmt.Sprintf("RESP%d: %s E %s", protocol, way, line), do(t, c, way+" E "+line), answer)
			}
		}
		want(t, "in a script", do(t, c, "EVAL return(redis.call('PROBE.CALLLAST','E','MGET','a','b','a')[3]) 0"), "x\r\n\x00y")
	}
}

func TestEntriesOfAStreamAreCountedAfterAnId(t *testing.T) {
	_, c := server(t, "probe", holdfasttest.WithArgs("--stream-node-max-entries", "7"))
	for i := range 50 {
		do(t, c, fmt.Sprintf("XADD s %d-1 f v", i+1))
	}
	do(t, c, "XADD s 60-1 f v other fields")
	do(t, c, "XDEL s 30-1 31-1")
	for line, n := range map[string]int64{
		"s 0 0 99": 49, "s 0 0 10": 10, "s 10 0 99": 40, "s 10 1 99": 39, "s 29 1 99": 20, "s 60 0 99": 1, "s 60 1 99": 0, "none 0 0 99": 0, "text 0 0 9": 0,
	} {
		do(t, c, "SET text x")
		want(t, line, do(t, c, "PROBE.AFTER "+line), n)
	}
}

func TestATimerFiresOnceAndItsWriteIsReplicated(t *testing.T) {
	s, c := server(t, "probe", holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	do(t, c, "PROBE.TIMER 1 ticks")
	logged(t, c, "timer")
	want(t, "ticks", do(t, c, "GET ticks"), "1")
	s.Kill()
	s.Restart()
	want(t, "ticks in the AOF", do(t, c, "GET ticks"), "1")
}

func TestThatATimerFoundAKeyExpiredIsReplicated(t *testing.T) {
	s, c := server(t, "probe", holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	do(t, c, "DEBUG SET-ACTIVE-EXPIRE 0")
	do(t, c, "SET ticks 41 PX 1")
	for over := c.Time(ctx).Val().Add(2 * time.Millisecond); !c.Time(ctx).Val().After(over); {
	}
	do(t, c, "PROBE.TIMER 0 ticks")
	logged(t, c, "timer")
	want(t, "ticks", do(t, c, "GET ticks"), "1")
	s.Kill()
	s.Restart()
	want(t, "ticks in the AOF", do(t, c, "GET ticks"), "1")
}

func TestATimerHoldsItsWriteBackWhileWritesArePaused(t *testing.T) {
	_, c := server(t, "probe")
	do(t, c, "CLIENT PAUSE 300 WRITE")
	do(t, c, "PROBE.CALL E PING") // reads go on
	do(t, c, "PROBE.TIMER 0 ticks")
	logged(t, c, "timer")
	want(t, "ticks", do(t, c, "GET ticks"), "1")
}

func TestOnlyWatchedKeysAreHeardOfAndNotOurOwnCalls(t *testing.T) {
	_, c := server(t, "probe")
	do(t, c, "SET before 1")
	want(t, "watch", do(t, c, "PROBE.WATCH a"), int64(1))
	want(t, "watch twice", do(t, c, "PROBE.WATCH a"), int64(1))
	want(t, "watch another", do(t, c, "PROBE.WATCH b"), int64(2))
	for _, line := range []string{"SET a 1", "SET other 1", "PROBE.CALL E SET a 2", "SELECT 0", "DEL a", "EVAL return(redis.call('SET','b',1)) 0", "RENAME b c"} {
		do(t, c, line)
	}
	do(t, c, "PROBE.UNWATCH a")
	do(t, c, "SET a 2")
	do(t, c, "PROBE.UNWATCH a")
	do(t, c, "SET a 3")
	want(t, "heard", do(t, c, "PROBE.LOG"), []any{"set a", "del a", "set b", "rename_from b", "set a"})
	want(t, "left", do(t, c, "PROBE.UNWATCH b"), int64(0))
}

// Every watched key is heard of and no other, whatever comes and goes, through
// growth, shrinking and collisions of the table.
func TestTheWatchTableForgetsNobody(t *testing.T) {
	_, c := server(t, "probe")
	on := map[int]bool{}
	next := uint32(1)
	p := c.Pipeline()
	for range 20000 {
		next = next*1664525 + 1013904223
		i := int(next>>8) % 3000
		if on[i] = !on[i]; on[i] {
			p.Do(ctx, "PROBE.WATCH", fmt.Sprint("key", i))
		} else {
			p.Do(ctx, "PROBE.UNWATCH", fmt.Sprint("key", i))
		}
	}
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	var expect []string
	for i := range 3000 {
		p.Set(ctx, fmt.Sprint("key", i), 1, 0)
		if on[i] {
			expect = append(expect, fmt.Sprint("set key", i))
		}
	}
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	log, _ := c.Do(ctx, "PROBE.LOG").StringSlice()
	want(t, "heard", log, expect)
}

func TestServerEventsAreHeard(t *testing.T) {
	_, c := server(t, "probe")
	conn := c.Conn()
	id := do(t, conn, "PROBE.WATCHME")
	for _, line := range []string{"FLUSHDB", "FLUSHALL", "SWAPDB 0 3", "DEBUG RELOAD", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"} {
		do(t, c, line)
	}
	do(t, c, fmt.Sprint("CLIENT KILL ID ", id))
	_ = conn.Close()
	log := logged(t, c, fmt.Sprint("gone ", id))
	want(t, "heard", log, []string{"flush 0", "flush -1", "swap 0 3", "flush -1", "loaded", "primary false", "primary true", fmt.Sprint("gone ", id)})
}

// wait blocks a client and answers its reply, once it is known to be blocked.
func wait(t *testing.T, c *redis.Client, name string, ms int) (conn *redis.Conn, id int64, reply chan any) {
	t.Helper()
	conn = c.Conn()
	id = conn.ClientID(ctx).Val()
	before := blocked(t, c)
	reply = make(chan any, 1)
	go func() { reply <- do(t, conn, "PROBE.WAIT", name, ms) }()
	for blocked(t, c) == before && len(reply) == 0 {
	}
	return conn, id, reply
}

func blocked(t *testing.T, c *redis.Client) string {
	t.Helper()
	info := c.Info(ctx, "clients").Val()
	_, after, _ := strings.Cut(info, "blocked_clients:")
	line, _, _ := strings.Cut(after, "\r\n")
	return line
}

// needsUnblock skips a test on 7.2, where CLIENT UNBLOCK leaves our clients alone.
func needsUnblock(t *testing.T, c *redis.Client) {
	t.Helper()
	info := c.InfoMap(ctx, "server").Val()["Server"]
	version, other := info["valkey_version"]
	if !other {
		version = info["redis_version"]
	}
	if strings.HasPrefix(version, "7.2.") {
		t.Skip("CLIENT UNBLOCK does nothing on 7.2")
	}
}

// Whatever ends a wait, the waiter hears of it once and its handle is given
// back: MODULE UNLOAD, which is refused while one is out, proves it.
func TestAWaitEndsOnceAndLeaksNothing(t *testing.T) {
	s, c := server(t, "probe")
	needsUnblock(t, c)
	_, _, woken := wait(t, c, "woken", 0)
	_, _, late := wait(t, c, "late", 20)
	_, unblockID, unblocked := wait(t, c, "unblocked", 0)
	_, errorID, failed := wait(t, c, "failed", 0)
	_, killID, killed := wait(t, c, "killed", 0)
	closing, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closing.Write([]byte("PROBE.WAIT closed 0\r\n")); err != nil {
		t.Fatal(err)
	}
	for blocked(t, c) != "6" && blocked(t, c) != "5" { // "late" may be over
	}

	want(t, "unload while clients wait", strings.HasPrefix(fmt.Sprint(do(t, c, "MODULE UNLOAD probe")), "ERR Error unloading"), true)
	want(t, "wake", do(t, c, "PROBE.WAKE woken woken"), int64(1))
	want(t, "woken", <-woken, any(int64(1)))
	want(t, "late", <-late, nil)
	want(t, "unblock", do(t, c, fmt.Sprint("CLIENT UNBLOCK ", unblockID, " TIMEOUT")), int64(1))
	want(t, "unblocked", <-unblocked, nil)
	want(t, "unblock with an error", do(t, c, fmt.Sprint("CLIENT UNBLOCK ", errorID, " ERROR")), int64(1))
	want(t, "failed", strings.HasPrefix(fmt.Sprint(<-failed), "UNBLOCKED"), true)
	do(t, c, fmt.Sprint("CLIENT KILL ID ", killID))
	<-killed
	_ = closing.Close()
	logged(t, c, "lost closed")
	log, _ := c.Do(ctx, "PROBE.LOG").StringSlice()
	slices.Sort(log)
	want(t, "heard", log, []string{"lost closed", "lost failed", "lost killed", "reply woken", "timeout late", "timeout unblocked"})
	for strings.HasPrefix(fmt.Sprint(do(t, c, "MODULE UNLOAD probe")), "ERR Error unloading") {
		if blocked(t, c) != "0" {
			t.Fatal("a handle leaked")
		}
	}
}

func TestTheLongestWaitIsAWait(t *testing.T) {
	_, c := server(t, "probe")
	_, _, reply := wait(t, c, "w", 1<<62)
	want(t, "still waiting", len(reply), 0)
	want(t, "wake", do(t, c, "PROBE.WAKE w"), int64(1))
	want(t, "reply", <-reply, any(int64(1)))
}

// The ghost: the waiter is woken and its client dies in the same step, so the
// reply reaches nobody. The waiter is told.
func TestAReplyThatReachesNobodyIsReported(t *testing.T) {
	_, c := server(t, "probe")
	_, id, reply := wait(t, c, "ghost", 0)
	_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Do(ctx, "PROBE.WAKE", "ghost")
		p.Do(ctx, "CLIENT", "KILL", "ID", id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-reply
	logged(t, c, "lost ghost")
}

// A wake and CLIENT UNBLOCK in the same turn of the event loop: Redis 7.0 then
// answers nothing, and 7.2 would end by an assertion if the binding let it.
func TestAnUnblockAtTheVeryWakeDoesNoHarm(t *testing.T) {
	_, c := server(t, "probe")
	for _, how := range []string{"TIMEOUT", "ERROR"} {
		conn, id, _ := wait(t, c, how, 0)
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Do(ctx, "PROBE.WAKE", how)
			p.Do(ctx, "CLIENT", "UNBLOCK", id, how)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		want(t, "the server lives", do(t, c, "PROBE.NOOP"), int64(1))
	}
}

// A wake and the end of the waiter's time in the same turn of the event loop:
// on Redis 7.0 the server's own timeout would leave the client without a reply.
func TestAWakeAtTheVeryTimeoutIsAnsweredOnce(t *testing.T) {
	_, c := server(t, "probe")
	for i := range 100 {
		name := fmt.Sprint("w", i)
		conn, _, reply := wait(t, c, name, 2)
		_, _ = c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Do(ctx, "PROBE.WAKE", name)
			p.Do(ctx, "DEBUG", "SLEEP", "0.003")
			return nil
		})
		select {
		case <-reply:
		case <-time.After(10 * time.Second):
			t.Fatalf("round %d: no reply", i)
		}
		_ = conn.Close()
	}
}

func TestWhereWaitingIsNotAllowedNobodyIsMadeToWait(t *testing.T) {
	_, c := server(t, "probe")
	cmds, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Do(ctx, "PROBE.WAIT", "x", 0); return nil })
	if err != nil {
		t.Fatal(err)
	}
	want(t, "in MULTI", cmds[0].(*redis.Cmd).Val(), any("CANNOT"))
	want(t, "in Lua", do(t, c, "EVAL return(redis.call('PROBE.WAIT','x',0)) 0"), "CANNOT")
	want(t, "called by a module", do(t, c, "PROBE.CALL E PROBE.WAIT x 0"), "CANNOT")
}

// Neither another module's call nor a script that it runs has a user who could be asked.
func TestAKeyIsAllowedWhereNobodyCanBeRefused(t *testing.T) {
	s, c := server(t, "probe")
	do(t, c, "ACL SETUSER guest on nopass ~its:* +@all")
	guest := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "guest", Password: "any"})
	defer guest.Close()
	script := "EVAL return(redis.call('PROBE.ALLOWED',KEYS[1])) 1 "
	for line, want1 := range map[string]int64{
		"PROBE.ALLOWED its:key": 1, "PROBE.ALLOWED key": 0, script + "its:key": 1,
		"PROBE.CALL E PROBE.ALLOWED key": 1, "PROBE.CALL E " + script + "key": 1,
		"PROBE.CALL EC PROBE.ALLOWED its:key": 1,
	} {
		want(t, line, do(t, guest, line), any(want1))
		want(t, line, do(t, c, line), any(int64(1)))
	}
}

func TestWhoeverWaitsIsToldWhenThePrimaryBecomesAReplica(t *testing.T) {
	_, c := server(t, "probe")
	_, _, reply := wait(t, c, "w", 0)
	do(t, c, "REPLICAOF 127.0.0.1 1")
	want(t, "reply", strings.HasPrefix(fmt.Sprint(<-reply), "UNBLOCKED"), true)
	logged(t, c, "lost w")
}

func TestSettingsComeFromEverywhereAndAreChecked(t *testing.T) {
	s, c := server(t, "probe", holdfasttest.WithModules(filepath.Join(built, "probe.so")+" limit 9"), holdfasttest.WithArgs("--probe.verbose", "yes"))
	get := func(name string) string { return c.ConfigGet(ctx, name).Val()[name] }
	want(t, "by argument", get("probe.limit"), "9")
	want(t, "by file", get("probe.verbose"), "yes")
	want(t, "set", do(t, c, "CONFIG SET probe.limit 10"), "OK")
	want(t, "limit", get("probe.limit"), "10")
	if got := fmt.Sprint(do(t, c, "CONFIG SET probe.limit 1001")); !strings.Contains(got, "between 1 and 1000") {
		t.Error(got)
	}
	info := do(t, c, "INFO probe").(string)
	for _, line := range []string{"probe_limit:10", "probe_verbose:true", "probe_half:0.5", "probe_loads:1"} {
		if !strings.Contains(info, line) {
			t.Errorf("no %s in INFO probe:\n%s", line, info)
		}
	}
	do(t, c, "MODULE UNLOAD probe")
	for args, complaint := range map[string]string{
		"nonsense 1":  `unknown setting "nonsense"; probe knows limit, verbose`,
		"limit":       `setting "limit" has no value`,
		"limit zero":  `setting "limit" takes an integer from 1 to 1000`,
		"verbose 1":   `setting "verbose" takes yes or no`,
		"limit 666":   "limit 666 is not for us",
		"verbose yes": "",
	} {
		got := fmt.Sprint(do(t, c, "MODULE LOAD "+filepath.Join(built, "probe.so")+" "+args))
		if complaint == "" {
			want(t, args, got, "OK")
			do(t, c, "MODULE UNLOAD probe")
		} else if !strings.HasPrefix(got, "ERR") || !s.AwaitLog(complaint) {
			t.Errorf("%s: %s; the log lacks %q", args, got, complaint)
		}
	}
}

func TestAModuleStartsAfreshWhenLoadedAgain(t *testing.T) {
	_, c := server(t, "probe")
	for round := 1; round <= 5; round++ {
		want(t, "log", do(t, c, "PROBE.LOG"), []any{})
		do(t, c, "PROBE.WATCH a")
		do(t, c, "SET a 1")
		want(t, "log", do(t, c, "PROBE.LOG"), []any{"set a"})
		do(t, c, "PROBE.UNWATCH a")
		if info := do(t, c, "INFO probe").(string); !strings.Contains(info, fmt.Sprint("probe_loads:", round)) {
			t.Errorf("round %d: %s", round, info)
		}
		want(t, "unload", do(t, c, "MODULE UNLOAD probe"), "OK")
		want(t, "load", do(t, c, "MODULE LOAD "+filepath.Join(built, "probe.so")), "OK")
	}
}

func TestScanMeetsEveryKeyOfAType(t *testing.T) {
	_, c := server(t, "probe")
	p := c.Pipeline()
	for i := range 1000 {
		p.Set(ctx, fmt.Sprint("s", i), 1, 0)
		p.HSet(ctx, fmt.Sprint("h", i), "f", 1)
	}
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	want(t, "hashes", do(t, c, "PROBE.SCAN 3"), int64(1000))
	want(t, "streams", do(t, c, "PROBE.SCAN 7"), int64(0))
}

// The example of the package's documentation, as its comment describes it.
func TestTheDoorbellRings(t *testing.T) {
	_, c := server(t, "doorbell")
	heard := make(chan any)
	for range 3 {
		conn := c.Conn()
		go func() { heard <- do(t, conn, "BELL.WAIT door 5000") }()
	}
	for blocked(t, c) != "3" {
	}
	want(t, "ring", do(t, c, "BELL.RING door"), int64(3))
	for range 3 {
		want(t, "heard", <-heard, any(int64(1)))
	}
	want(t, "ring with nobody there", do(t, c, "BELL.RING door"), int64(0))
	want(t, "silence", do(t, c, "BELL.WAIT door 1"), nil)
	c.Set(ctx, "door", "x", 0)
	want(t, "no number", do(t, c, "BELL.RING door"), "ERR value is not an integer or out of range")
	docs := do(t, c, "COMMAND DOCS bell.wait").(map[any]any)["bell.wait"].(map[any]any)
	want(t, "summary", docs["summary"], any("Waits until a door is rung."))
	keys, err := c.Do(ctx, "COMMAND", "GETKEYS", "BELL.RING", "door").StringSlice()
	want(t, "keys", keys, []string{"door"})
	want(t, "keys", err, error(nil))
}

func TestAModuleHearsThatASettingChanged(t *testing.T) {
	_, c := server(t, "probe")
	want(t, "set", do(t, c, "CONFIG SET probe.limit 9"), "OK")
	logged(t, c, "limit 9")
}
