package e2e

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

var lockAOF = holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always")

// token acquires and is the token, which must be greater than the last.
func (l *locks) token(last int64, line string, args ...any) int64 {
	l.t.Helper()
	reply := l.do(line+" WITHTOKEN", args...)
	token, err := strconv.ParseInt(reply, 10, 64)
	if err != nil || token <= last || token >= 1<<53 {
		l.t.Fatalf("%s: token %s after %d", line, reply, last)
	}
	return token
}

// follow makes a server a replica of l and waits until it has all of it.
func (l *locks) follow(replica *locks) {
	l.t.Helper()
	host, port, _ := strings.Cut(l.Addr, ":")
	replica.wants("OK", "REPLICAOF % %", host, port)
	l.synced(replica)
}

// synced waits until what l has written has reached the replica.
func (l *locks) synced(replica *locks) {
	l.t.Helper()
	l.until("replication offset", 0, func() int64 {
		if !strings.Contains(replica.do("INFO replication"), `master_link_status:up`) {
			return -1
		}
		return l.number("replication", "master_repl_offset") - replica.number("replication", "slave_repl_offset")
	})
}

func TestLocksOutliveARestartWithTheirOwnersExpiriesAndTokens(t *testing.T) {
	l := lockServer(t, lockAOF)
	last := l.token(0, "LOCK.ACQUIRE l a 60000 META m")
	l.wants("1", "LOCK.ACQUIRE s x 60000 LIMIT 2")
	l.wants("1", "LOCK.ACQUIRE s y 60000 LIMIT 2")
	l.wants("1", "LOCK.ACQUIRE short a 100")
	l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
	l.wants("1", "LOCK.ACQUIRE text a 60000")
	before, text := l.do("HGETALL l"), l.do("GET text")
	l.Kill()
	l.Restart()
	l.redial()
	l.wants(before, "HGETALL l")
	l.wants(text, "GET text")
	l.wants("0", "LOCK.ACQUIRE text b 60000")
	l.wants("1", "LOCK.EXTEND text a 60000")
	l.wants("1", "LOCK.RELEASE text a")
	l.wants("0", "LOCK.ACQUIRE l b 60000")
	l.wants("0", "LOCK.ACQUIRE s b 60000 LIMIT 2")
	l.wants("1", "LOCK.EXTEND l a 60000")
	l.wants("1", "LOCK.RELEASE s y")
	b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	l.wants("1", "LOCK.RELEASE l a")
	b.hears("1")
	l.token(last, "LOCK.ACQUIRE m a 60000")
	short := l.another().send("LOCK.ACQUIRE short b 60000 BLOCK 0")
	short.hears("1")
	l.until("held", 4, func() int64 { return l.info("held") }) // l, s, m, short
}

// The clock of the node that takes over is behind by an hour: then only the
// records it finds tell how far the tokens had come.
func TestTokensGrowOverRestartsAndAPromotionEvenWithTheClockBehind(t *testing.T) {
	l := lockServer(t, lockAOF)
	ahead := time.Now().Add(time.Hour).UnixMicro()
	now := time.Now().UnixMilli()
	l.wants("1", "HSET l a %", fmt.Sprintf("exclusive %d %d %d -", ahead, now, now+3600_000))
	l.wants("1", "PEXPIREAT l %", now+3600_000)
	l.wants("OK", "SELECT 9")
	l.wants("OK", "SET l % PXAT %", fmt.Sprintf("exclusive %d %d a", ahead+9, now), now+3600_000)
	l.Kill()
	l.Restart()
	l.redial()
	l.until("seen", ahead+9, func() int64 { return l.info("last_token") })
	last := l.token(ahead+9, "LOCK.ACQUIRE m a 60000")

	replica := lockServer(t)
	l.follow(replica)
	replica.wants("-READONLY You can't write against a read only replica.", "LOCK.ACQUIRE n a 1000")
	replica.wants("OK", "REPLICAOF NO ONE")
	replica.until("seen", last, func() int64 { return replica.info("last_token") })
	replica.token(last, "LOCK.ACQUIRE n a 60000")
	replica.until("held", 4, func() int64 { return replica.info("held") })
}

func TestAPromotedReplicaGoesOnWithTheLocksItHas(t *testing.T) {
	l, replica := lockServer(t), lockServer(t)
	l.follow(replica)
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	l.wants("1", "LOCK.ACQUIRE short a 60000")
	l.wants("1", "LOCK.ACQUIRE gone a 60000")
	l.wants("1", "LOCK.RELEASE gone a")
	waiting := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
	l.synced(replica)
	if got := replica.do("LOCK.INFO l"); !strings.Contains(got, `"owner" "a"`) || !strings.HasSuffix(got, `"waiters" [] "expired_while_held" 0]`) {
		t.Errorf("the replica tells %s", got)
	}
	for _, name := range []string{"l", "short"} {
		replica.wants(fmt.Sprintf(`["0" [%q]]`, name), "LOCK.LIST MATCH %", name)
	}
	l.wants("1", "LOCK.EXTEND short a 1500")
	l.synced(replica)
	replica.wants("OK", "REPLICAOF NO ONE")
	replica.wants("0", "LOCK.ACQUIRE l b 60000")
	b := replica.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	short := replica.another().send("LOCK.ACQUIRE short b 60000 BLOCK 0")
	short.hears("1")
	replica.wants("1", "LOCK.ACQUIRE gone b 60000")
	replica.wants("1", "LOCK.RELEASE l a")
	b.hears("1")

	// Those who waited on the old primary are told when it becomes a replica.
	replica.follow(l)
	waiting.hears("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)")
	l.nothingLeft()
	replica.nothingLeft()
}

// A primary that hands over, or shuts down, pauses its writes until the replica
// has caught up. A lease and a session end meanwhile, and a write would abort it.
func TestAPrimaryThatWaitsForItsReplicaHandsNoLockOver(t *testing.T) {
	for way, begun := range map[string]string{
		"FAILOVER": "FAILOVER requested", "SHUTDOWN NOSAVE": "Waiting for replicas before shutting down",
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l, replica := lockServer(t, holdfasttest.WithArgs("--shutdown-timeout", "60")), lockServer(t)
			l.follow(replica)
			l.wants("1", "LOCK.ACQUIRE kept a 60000")
			l.wants("1", "LOCK.ACQUIRE l a 60000")
			w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
			late := l.park("LOCK.ACQUIRE l late 60000 BLOCK 500")
			session := l.another()
			session.wants("1", "LOCK.ACQUIRE m s 60000 SESSION")
			l.synced(replica)

			stopped := func(sig syscall.Signal) {
				if err := syscall.Kill(replica.PID(), sig); err != nil {
					t.Fatal(err)
				}
			}
			stopped(syscall.SIGSTOP)
			defer stopped(syscall.SIGCONT)
			last := l.another().send("LOCK.EXTEND l a 100").send(way) // together: the lease is short
			last.hears("1")
			if !l.AwaitLog(begun) {
				t.Fatal("it does not begin")
			}
			_ = session.Close()
			late.hears("0") // a timeout writes nothing, and comes in time
			if got := l.owners("l"); got == `["w"]` {
				t.Error("w was granted the lock while the primary waits")
			}
			stopped(syscall.SIGCONT)
			if way == "FAILOVER" {
				if heard := w.read(); !strings.HasPrefix(heard, "-UNBLOCKED") {
					t.Errorf("heard %s, want -UNBLOCKED", heard)
				}
				l.nothingLeft()
			} else {
				<-l.Done()
				if log := l.Log(); !strings.Contains(log, "bye bye") {
					t.Fatalf("the server did not end in order:\n%s", log)
				}
				replica.wants("OK", "REPLICAOF NO ONE")
			}
			replica.until("primary", 1, func() int64 { return int64(strings.Count(replica.do("ROLE"), "master")) })
			replica.wants("0", "LOCK.ACQUIRE kept b 60000")
			l2 := replica.another().send("LOCK.ACQUIRE l b 60000 BLOCK 0")
			l2.hears("1")
			replica.wants("0", "LOCK.ACQUIRE m b 60000") // sessions are the old primary's
		})
	}
}

// What reaches a replica is plain commands: one without the module ends up with
// the same data, and so does a server that loads the AOF.
func TestAServerWithoutTheModuleReadsTheSameLocks(t *testing.T) {
	dir := t.TempDir()
	l := lockServer(t, lockAOF, holdfasttest.WithDir(dir))
	bare := holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithArgs("--replicaof", "127.0.0.1 "+strconv.Itoa(l.Port)))
	replica := &locks{bare, dialCache(t, bare.Addr)}
	l.synced(replica)
	for i := range 50 {
		name, mode := fmt.Sprintf("l%d", i%7), []string{"", "SHARED", "LIMIT 3"}[i%3]
		l.do("LOCK.ACQUIRE % % % "+[]string{"META m ", ""}[i%2]+mode, name, i, []int{60000, 60000, 30}[i%3])
		l.do("LOCK.EXTEND % % 70000", name, i)
		w := l.another()
		w.send("LOCK.ACQUIRE % % 60000 BLOCK 5", name, 1000+i)
		l.do("LOCK.RELEASE % %", name, i-1)
		if i%10 == 9 {
			l.do("LOCK.BREAK %", name)
		}
		if strings.HasPrefix(w.read(), "-") {
			t.Fatal("a waiter was refused")
		}
	}
	l.wants("1", "LOCK.FENCE guard 7")
	// The short leases are over; what is left of them goes when it is looked at.
	l.until("short leases", 0, func() int64 {
		left := int64(0)
		for i := range 7 {
			l.do("LOCK.ACQUIRE % probe 60000 LIMIT 3", fmt.Sprintf("l%d", i))
			if ttl := l.do("PTTL %", fmt.Sprintf("l%d", i)); len(ttl) < 3 {
				left++
			}
		}
		return left
	})
	l.synced(replica)
	digest := l.do("DEBUG DIGEST")
	replica.wants(digest, "DEBUG DIGEST")
	for i := range 7 {
		name := fmt.Sprintf("l%d", i)
		at := l.do("PEXPIRETIME %", name)
		replica.wants(at, "PEXPIRETIME %", name)
	}
	l.wants("OK", "DEBUG LOADAOF")
	l.wants(digest, "DEBUG DIGEST")

	l.Stop()
	alone := holdfasttest.Server(t, holdfasttest.WithModules(), lockAOF, holdfasttest.WithDir(dir))
	dialCache(t, alone.Addr).wants(digest, "DEBUG DIGEST")
}

func TestInTheQuarantineANodeGrantsOnlyLocksItHasARecordOf(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE known a 60000")
	replica := lockServer(t)
	replica.wants("OK", "CONFIG SET distlock.quarantine-ms 3000")
	l.follow(replica)
	replica.wants("OK", "REPLICAOF NO ONE")
	replica.wants("0", "LOCK.ACQUIRE unknown b 60000")
	listed := replica.park("LOCK.ACQUIRE unknown c 60000 BLOCK 0")
	replica.wants(`["0" ["known" "unknown"]]`, "LOCK.LIST") // held, and waited for
	replica.wants("1", "LOCK.EXTEND known a 60000")
	d := replica.park("LOCK.ACQUIRE known d 60000 BLOCK 0")
	replica.wants("1", "LOCK.RELEASE known a")
	d.hears("1")
	replica.wants("1", "LOCK.RELEASE known d")
	replica.wants("1", "LOCK.ACQUIRE known e 60000")
	if left := replica.info("quarantine_left_ms"); left > 0 {
		replica.wants("0", "EXISTS unknown")
	}
	listed.hears("1") // when it is over
	replica.wants("1", "LOCK.ACQUIRE unknown2 b 60000")
}

func TestTheQuarantineBeginsWithEveryStart(t *testing.T) {
	l := lockServer(t, onlyDistlock(t, "quarantine-ms", "2000"), lockAOF)
	for _, owner := range []string{"a", "b"} {
		lock := "of " + owner
		l.wants("0", "LOCK.ACQUIRE % x 60000", lock)
		w := l.park("LOCK.ACQUIRE % % 60000 BLOCK 0", lock, owner)
		l.wants("0", "LOCK.ACQUIRE other x 60000")
		w.hears("1")
		l.wants("1", "LOCK.ACQUIRE other x 60000")
		l.wants("1", "LOCK.RELEASE other x")
		l.Kill()
		l.Restart()
		l.redial()
		l.wants("1", "LOCK.EXTEND % % 60000", lock, owner)
	}
}

// A million grants, with the server killed after some of them and its replica
// promoted after others: no token is used twice, and none is smaller than one
// before.
func TestTokensGrowOverAMillionGrantsARestartAndAPromotion(t *testing.T) {
	const each = 250_000
	l := lockServer(t, holdfasttest.WithArgs("--appendonly", "yes"))
	last := l.tokensGrow(0, each)
	l.wants("OK", "CONFIG SET appendfsync always") // on a busy disk the last release would be lost, and the lock still held
	l.wants("1", "LOCK.ACQUIRE held a 600000")     // else nothing tells of the tokens before
	l.Kill()
	l.Restart()
	l.redial()
	last = l.tokensGrow(last, each)
	l.wants("OK", "DEBUG LOADAOF")
	last = l.tokensGrow(last, each)
	replica := lockServer(t)
	l.follow(replica)
	l.wants("1", "LOCK.RELEASE held a")
	l.synced(replica)
	l.Kill()
	replica.wants("OK", "REPLICAOF NO ONE")
	replica.tokensGrow(last, each)
}

// tokensGrow grants and releases a lock so many times, and is the last token.
func (l *locks) tokensGrow(last int64, grants int) int64 {
	l.t.Helper()
	const batch = 500
	pairs := strings.Repeat("LOCK.ACQUIRE l a 60000 WITHTOKEN\r\nLOCK.RELEASE l a\r\n", batch)
	for range grants / batch {
		if _, err := io.WriteString(l.Conn, pairs); err != nil {
			l.t.Fatal(err)
		}
		for range batch {
			token, err := strconv.ParseInt(l.read(), 10, 64)
			if err != nil || token <= last {
				l.t.Fatalf("token %d after %d (%v)", token, last, err)
			}
			last = token
			l.hears("1")
		}
	}
	return last
}
