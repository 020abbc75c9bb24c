package e2e

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

func TestLocksAreHandedOverInTheOrderOfArrival(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	var line []lockWaiter
	for i := range 20 {
		line = append(line, l.park("LOCK.ACQUIRE l % 60000 BLOCK 0", i))
	}
	l.wants("0", "LOCK.ACQUIRE l z 60000") // a try never overtakes
	l.wants("1", "LOCK.RELEASE l a")
	for i, w := range line {
		w.hears("1")
		if got := l.owners("l"); got != fmt.Sprintf("[%q]", fmt.Sprint(i)) {
			t.Fatalf("%s holds the lock, want %d", got, i)
		}
		l.waiting(int64(len(line) - i - 1)) // one release woke one
		l.wants("1", "LOCK.RELEASE l %", i)
	}
	l.wants("0", "EXISTS l")
	l.nothingLeft()
}

// Each way takes the lock l from its holder a, on a server where another lock
// other is held too.
func TestALockIsHandedOverHoweverItVanishes(t *testing.T) {
	for way, lines := range map[string][]string{
		"RELEASE":               {"LOCK.RELEASE l a"},
		"BREAK":                 {"LOCK.BREAK l"},
		"BREAK of the owner":    {"LOCK.BREAK l a"},
		"a lease that ends":     {"LOCK.EXTEND l a 20"},
		"DEL":                   {"DEL l"},
		"UNLINK":                {"UNLINK l"},
		"DEL in a transaction":  {"MULTI", "DEL l", "EXEC"},
		"DEL in a script":       {"EVAL % 0"},
		"FLUSHDB":               {"FLUSHDB"},
		"FLUSHDB ASYNC":         {"FLUSHDB ASYNC"},
		"FLUSHALL":              {"FLUSHALL"},
		"SWAPDB":                {"SWAPDB 0 1"},
		"SWAPDB the other way":  {"SWAPDB 1 0"},
		"RENAME":                {"RENAME l elsewhere"},
		"MOVE":                  {"MOVE l 1"},
		"EXPIRE":                {"PEXPIRE l 20"},
		"EXPIRE in the past":    {"PEXPIRE l -1"},
		"HDEL":                  {"HDEL l a"},
		"an emptied set over":   {"SINTERSTORE l nothing"},
		"a lock that ends over": {"LOCK.ACQUIRE short s 200", "RENAME short l"},
		"a copy that ends over": {"LOCK.ACQUIRE short s 200", "COPY short l REPLACE"},
	} {
		t.Run(way, func(t *testing.T) {
			inBothForms(t, func(t *testing.T, form string) {
				if form == "" && way == "HDEL" {
					t.Skip("a string has no fields")
				}
				t.Parallel()
				l := lockServer(t)
				l.wants("1", "LOCK.ACQUIRE l a 60000"+form)
				b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0" + form)
				c := l.park("LOCK.ACQUIRE l c 60000 BLOCK 0" + form)
				operator := l.another()      // some servers leave it in another database
				for _, line := range lines { // together: a lease may be short
					operator.send(line, "return redis.call('DEL', 'l')")
				}
				for _, line := range lines {
					if got := operator.read(); strings.HasPrefix(got, "-") {
						t.Fatalf("%s: %s", line, got)
					}
				}
				b.hears("1")
				if got := l.owners("l"); got != `["b"]` {
					t.Fatalf("held by %s", got)
				}
				l.waiting(1)
				l.wants("1", "LOCK.RELEASE l b")
				c.hears("1")
				l.nothingLeft()
			})
		})
	}
}

func TestALockThatIsEvictedIsHandedOver(t *testing.T) {
	l := lockServer(t, holdfasttest.WithArgs("--maxmemory-policy", "allkeys-random"))
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	l.wants("OK", "CONFIG SET maxmemory 1")
	l.until("evicted", 1, func() int64 { l.do("SET x y"); return min(l.number("stats", "evicted_keys"), 1) })
	b.hears("1")
	l.wants("OK", "CONFIG SET maxmemory 0")
	l.nothingLeft()
}

func TestThoseWhoWaitAreToldWhenTheKeyIsNoLockAnyMore(t *testing.T) {
	const wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value"
	for way, overwrite := range map[string]func(l *locks) error{
		"SET":    func(l *locks) error { return l.Client().Set(t.Context(), "l", "x", 0).Err() },
		"RENAME": func(l *locks) error { return l.Client().Rename(t.Context(), "string", "l").Err() },
		"a hash that is no lock": func(l *locks) error {
			l.do("DEL hash")
			l.do("HSET hash a x")
			return l.Client().Rename(t.Context(), "hash", "l").Err()
		},
		"RESTORE": func(l *locks) error {
			dump, err := l.Client().Dump(t.Context(), "string").Result()
			if err != nil {
				return err
			}
			return l.Client().RestoreReplace(t.Context(), "l", 0, dump).Err()
		},
	} {
		t.Run(way, func(t *testing.T) {
			l := lockServer(t)
			l.wants("OK", "SET string x")
			l.wants("1", "LOCK.ACQUIRE l a 60000")
			b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
			if err := overwrite(l); err != nil {
				t.Fatal(err)
			}
			b.hears(wrong)
			l.wants(wrong, "LOCK.ACQUIRE l c 1000")
			l.nothingLeft()
		})
	}
}

func TestAWaiterLeavesNothingBehindHoweverItGoes(t *testing.T) {
	for _, c := range []struct {
		way   string
		go_   func(l *locks, w lockWaiter)
		hears string
	}{
		{"timeout", nil, "0"},
		{"disconnect", func(_ *locks, w lockWaiter) { _ = w.Close() }, ""},
		{"CLIENT UNBLOCK TIMEOUT", func(l *locks, w lockWaiter) { l.wants("1", "CLIENT UNBLOCK % TIMEOUT", w.id) }, "0"},
		{"CLIENT UNBLOCK ERROR", func(l *locks, w lockWaiter) { l.wants("1", "CLIENT UNBLOCK % ERROR", w.id) },
			"-UNBLOCKED client unblocked via CLIENT UNBLOCK"},
		{"CLIENT KILL", func(l *locks, w lockWaiter) { l.wants("1", "CLIENT KILL ID %", w.id) }, ""},
	} {
		t.Run(c.way, func(t *testing.T) {
			t.Parallel()
			l := lockServer(t)
			block := 0
			if c.way == "timeout" {
				block = 2000 // for the next to come in
			}
			l.wants("1", "LOCK.ACQUIRE l r 60000 SHARED")
			w := l.park("LOCK.ACQUIRE l w 60000 BLOCK %", block)
			behind := l.park("LOCK.ACQUIRE l behind 60000 SHARED BLOCK 0")
			if c.go_ != nil {
				c.go_(l, w)
			}
			if c.hears != "" {
				w.hears(c.hears)
			}
			behind.hears("1") // nobody stands in its way any more
			if got := l.owners("l"); got != `["behind" "r"]` && got != `["r" "behind"]` {
				t.Fatalf("held by %s", got)
			}
			l.nothingLeft()
		})
	}
}

// The ghost: in one step the lock is released, so handed to b, and b's
// connection is killed before it can be told.
func TestALockGrantedToAConnectionThatDiedGoesToTheNext(t *testing.T) {
	l := lockServer(t)
	for i := range 20 {
		form := []string{"", " META m"}[i/2%2]
		l.wants("1", "LOCK.ACQUIRE l a 60000"+form)
		b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0" + form)
		c := l.park("LOCK.ACQUIRE l c 60000 BLOCK 0" + form)
		if i%2 == 0 {
			l.pipelined("MULTI", "LOCK.RELEASE l a", "CLIENT KILL ID "+b.id, "EXEC")
		} else {
			l.pipelined("MULTI", "LOCK.RELEASE l a", "CLIENT UNBLOCK "+b.id+" ERROR", "EXEC")
		}
		c.hears("1")
		if got := l.owners("l"); got != `["c"]` {
			t.Fatalf("held by %s", got)
		}
		l.wants("1", "LOCK.RELEASE l c")
	}
	if got := l.info("ghosts_reclaimed"); got == 0 {
		t.Fatal("there was no ghost: the test shows nothing")
	}
	l.nothingLeft()
}

func TestLocksOfASessionEndWithTheirConnection(t *testing.T) {
	l := lockServer(t)
	for _, end := range []string{"close", "kill", "granted in line"} {
		holder := l.another()
		id := holder.do("CLIENT ID")
		if end == "granted in line" {
			l.wants("1", "LOCK.ACQUIRE l x 60000")
			w := l.parkOn(holder, "LOCK.ACQUIRE l s 60000 BLOCK 0 SESSION")
			l.wants("1", "LOCK.RELEASE l x")
			w.hears("1")
		} else {
			holder.wants("1", "LOCK.ACQUIRE l s 60000 SESSION")
		}
		holder.wants("1", "LOCK.ACQUIRE kept s 60000")
		holder.wants("1", "LOCK.ACQUIRE other s 60000 SESSION")
		holder.wants("1", "LOCK.RELEASE other s")
		l.wants("1", "LOCK.ACQUIRE other a 60000")
		w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
		if end == "kill" {
			l.wants("1", "CLIENT KILL ID %", id)
		} else {
			_ = holder.Close()
		}
		w.hears("1")
		l.wants("1", "LOCK.RELEASE l w")
		l.wants("1", "LOCK.RELEASE kept s") // no session, so still there
		l.wants("1", "LOCK.RELEASE other a")
	}
	l.nothingLeft()
}

func TestALeaseThatEndsIsHandedOverAmongManyOtherKeysWithExpiry(t *testing.T) {
	l := lockServer(t)
	l.do("EVAL % 0", "for i = 1, 300000 do redis.call('SET', 'k' .. i, 'v', 'PX', 100000000) end")
	for range 10 {
		l.wants("1", "LOCK.ACQUIRE l a 60000")
		w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 20000")
		l.wants("1", "LOCK.EXTEND l a 50")
		w.hears("1") // the server's own expiry would take minutes to come by
		l.wants("1", "LOCK.RELEASE l w")
	}
	if got := l.info("expired_while_held"); got != 10 {
		t.Fatalf("%d leases ran out", got)
	}
	l.nothingLeft()
}

// The lease ends while writes are paused; a server that wrote then would abort.
func TestAWritePauseDelaysTheHandOverAndHarmsNothing(t *testing.T) {
	l := lockServer(t)
	holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithArgs("--replicaof", "127.0.0.1 "+fmt.Sprint(l.Port)))
	l.until("replicas", 1, func() int64 { return l.number("replication", "connected_slaves") })
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
	late := l.park("LOCK.ACQUIRE l late 60000 BLOCK 500")
	session := l.another()
	session.wants("1", "LOCK.ACQUIRE m s 60000 SESSION")
	m := l.park("LOCK.ACQUIRE m m 60000 BLOCK 0")
	if got := l.pipelined("LOCK.EXTEND l a 100", "CLIENT PAUSE 100000 WRITE"); got[0] != "1" || got[1] != "OK" {
		t.Fatal(got)
	}
	_ = session.Close()
	late.hears("0") // a timeout writes nothing, and comes in time
	if got := l.owners("l"); got == `["w"]` {
		t.Error("w was granted the lock in the pause")
	}
	l.wants("OK", "CLIENT UNPAUSE")
	w.hears("1")
	m.hears("1")
	l.nothingLeft()
}

func TestBLOCKIsAsIfAbsentWhereWaitingIsNotAllowed(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	l.wants("0", "EVAL % 1 l", "return redis.call('LOCK.ACQUIRE', KEYS[1], 'b', 1000, 'BLOCK', 0)")
	if got := l.pipelined("MULTI", "LOCK.ACQUIRE l b 1000 BLOCK 0", "EXEC")[2]; got != "[0]" {
		t.Fatal(got)
	}
	l.wants("1", "EVAL % 1 m", "return redis.call('LOCK.ACQUIRE', KEYS[1], 'b', 1000, 'BLOCK', 0)")
	l.nothingLeft()
}

func TestADeadlockIsRefusedToTheOneWhoWouldCloseIt(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	l.wants("1", "LOCK.ACQUIRE m b 60000")
	w := l.park("LOCK.ACQUIRE m a 60000 BLOCK 0")
	l.wants("-DEADLOCK b waits for a waits for b", "LOCK.ACQUIRE l b 60000 BLOCK 0")
	l.wants("0", "LOCK.ACQUIRE l b 60000")
	l.wants("1", "LOCK.RELEASE m b")
	w.hears("1")
	l.nothingLeft()
}

func TestNoMoreThanMaxWaitersWaitForALock(t *testing.T) {
	l := lockServer(t)
	l.wants("OK", "CONFIG SET distlock.max-waiters 2")
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	l.park("LOCK.ACQUIRE l c 60000 BLOCK 0")
	if got := l.do("LOCK.ACQUIRE l d 60000 BLOCK 0"); !strings.HasPrefix(got, "-QUEUEFULL ") {
		t.Fatal(got)
	}
	l.wants("1", "LOCK.ACQUIRE m d 60000")
}

func TestTheSameNameInAnotherDatabaseIsAnotherLock(t *testing.T) {
	l := lockServer(t)
	one := l.another()
	one.wants("OK", "SELECT 1")
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	one.wants("1", "LOCK.ACQUIRE l a 60000")
	b := l.another()
	b.wants("OK", "SELECT 1")
	w := l.parkOn(b, "LOCK.ACQUIRE l b 60000 BLOCK 0")
	l.wants("1", "LOCK.RELEASE l a")
	one.wants("1", "LOCK.RELEASE l a")
	w.hears("1")
	// And its lease ends in its database, though the timer was set in another.
	w2 := l.parkOn(one, "LOCK.ACQUIRE l c 60000 BLOCK 0")
	b.wants("1", "LOCK.EXTEND l b 200")
	l.wants("1", "LOCK.ACQUIRE l d 60000")
	w2.hears("1")
	l.nothingLeft()
}
