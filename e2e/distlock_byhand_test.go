package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// Two hold all there is of a semaphore, b and c wait, and each way frees the
// place of one of the two.
func TestAPlaceOfASemaphoreIsHandedOverHoweverItBecomesFree(t *testing.T) {
	for way, free := range map[string]func(l *locks, holder *cacheConn){
		"RELEASE":            func(l *locks, _ *cacheConn) { l.wants("1", "LOCK.RELEASE l a") },
		"BREAK":              func(l *locks, _ *cacheConn) { l.wants("1", "LOCK.BREAK l a") },
		"a lease that ends":  func(l *locks, _ *cacheConn) { l.wants("1", "LOCK.EXTEND l a 20") },
		"the session's end":  func(_ *locks, holder *cacheConn) { _ = holder.Close() },
		"HDEL":               func(l *locks, _ *cacheConn) { l.wants("1", "HDEL l a") },
		"a record that ends": func(l *locks, _ *cacheConn) { l.wants("0", "HSET l a %", "limit:2 1 1 2 -") },
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l := lockServer(t)
			holder := l.another()
			holder.wants("1", "LOCK.ACQUIRE l a 60000 LIMIT 2 SESSION")
			l.wants("1", "LOCK.ACQUIRE l x 60000 LIMIT 2")
			b := l.park("LOCK.ACQUIRE l b 60000 LIMIT 2 BLOCK 0")
			c := l.park("LOCK.ACQUIRE l c 60000 LIMIT 2 BLOCK 0")
			free(l, holder)
			b.hears("1")
			l.waiting(1)
			for _, owner := range []string{"a", "c"} {
				l.wants("0", "HEXISTS l %", owner)
			}
			l.wants("1", "LOCK.RELEASE l x")
			c.hears("1")
			l.nothingLeft()
		})
	}
}

// Somebody wrote into the hash of a lock. The holder can still let go of it, by
// itself or by its session, and takes nothing else along.
func TestALockThatSomebodyWroteIntoLetsItsHolderGoAndKeepsTheRest(t *testing.T) {
	const wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value"
	for _, waited := range []bool{false, true} {
		for _, way := range []string{"RELEASE", "the session's end"} {
			l := lockServer(t)
			holder := l.another()
			holder.wants("1", "LOCK.ACQUIRE l a 60000 SESSION")
			if waited {
				w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
				defer w.hears(wrong)
			}
			l.wants("1", "HSET l else written")
			l.wants("1", "LOCK.EXTEND l a 50000")
			at := l.do("PEXPIRETIME l")
			if way == "RELEASE" {
				l.wants("1", "LOCK.RELEASE l a")
			} else {
				_ = holder.Close()
				l.until("the holder", 0, func() int64 { n, _ := strconv.Atoi(l.do("HEXISTS l a")); return int64(n) })
			}
			l.wants(`["else" "written"]`, "HGETALL l")
			l.wants(at, "PEXPIRETIME l")
			l.wants(wrong, "LOCK.ACQUIRE l b 1000")
			l.wants(wrong, "LOCK.BREAK l")
			l.until("held", 0, func() int64 { return l.info("held") })
		}
	}
}

// PERSIST takes the key's expiry and not the leases, which still end.
func TestALockThatWasMadeToPersistStillEndsWithItsLastLease(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE l a 50000 SHARED")
	l.wants("1", "PERSIST l")
	l.wants("1", "LOCK.ACQUIRE l b 1000 SHARED")
	if ttl, _ := strconv.Atoi(l.do("PTTL l")); ttl <= 1000 || ttl > 50000 {
		t.Errorf("the lock of one who has it for 50 s expires in %d ms", ttl)
	}
	l.wants("1", "LOCK.ACQUIRE m a 60000 META m")
	w := l.park("LOCK.ACQUIRE m w 60000 BLOCK 0")
	if got := l.pipelined("LOCK.EXTEND m a 50", "PERSIST m"); got[0] != "1" || got[1] != "1" {
		t.Error(got)
	}
	w.hears("1")
	l.wants("1", "LOCK.RELEASE m w")
	l.nothingLeft()
}

// The string of an exclusive lock does not say when its lease ends, its key does:
// made to PERSIST, it is held until it is let go, broken, or given an end again.
func TestAStringThatWasMadeToPersistIsHeldUntilItIsLetGo(t *testing.T) {
	l := lockServer(t)
	for _, end := range []string{"LOCK.RELEASE l a", "LOCK.BREAK l", "LOCK.EXTEND l a 20", "PEXPIRE l 20", "DEL l"} {
		l.wants("1", "LOCK.ACQUIRE l a 60000")
		l.wants("1", "PERSIST l")
		if got := l.do("LOCK.INFO l"); !strings.Contains(got, `"ttl_ms" -1`) {
			t.Error(got)
		}
		l.wants("0", "LOCK.ACQUIRE l b 60000")
		w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
		l.wants("1", end)
		w.hears("1")
		l.wants("1", "LOCK.RELEASE l w")
	}
	l.nothingLeft()
}

// happened are the lock's events until now, in order, by a subscriber to them.
func (l *locks) happened(listener *cacheConn) (events []string) {
	l.t.Helper()
	l.wants("1", "PUBLISH __keyevent@0__:lock.now l")
	for {
		parts := strings.Fields(listener.read())
		event := strings.Trim(strings.TrimPrefix(parts[2], `"__keyevent@0__:lock.`), `"`)
		if event == "now" {
			return events
		}
		if name := strings.Trim(parts[3], `"]`); name != "l" {
			event += " of " + name
		}
		events = append(events, event)
	}
}

// Each step tells what is done to l, what its subscribers hear, and by how much
// INFO counts up. Nothing else may be heard or counted.
func TestEveryStepOfALockIsAnEventAndACountAndNothingElseIs(t *testing.T) {
	l := lockServer(t, holdfasttest.WithArgs("--notify-keyspace-events", "Ed"))
	listener := l.another()
	listener.do("PSUBSCRIBE __keyevent@0__:lock.*")
	counters := []string{
		"grants", "contended", "handed_over", "refused", "released", "extended", "expired_while_held", "timeouts",
		"ghosts_reclaimed", "sessions_ended", "broken", "deadlocks", "queue_full", "withdrawn",
	}
	var waiters []lockWaiter
	wait := func(line string) func() {
		return func() { waiters = append(waiters, l.park(line)) }
	}
	served := func(want string) {
		w := waiters[0]
		waiters = waiters[1:]
		w.hears(want)
	}
	session := l.another()
	for _, c := range []struct {
		name   string
		do     func()
		events string
		counts string
	}{
		{"a grant", func() { l.wants("1", "LOCK.ACQUIRE l a 60000") }, "acquired", "grants 1"},
		{"a refusal", func() { l.wants("0", "LOCK.ACQUIRE l b 60000") }, "", "refused 1"},
		{"an extension", func() { l.wants("1", "LOCK.EXTEND l a 60000") }, "", "extended 1"},
		{"none", func() {
			l.wants("0", "LOCK.EXTEND l b 1")
			l.wants("0", "LOCK.RELEASE l b")
			l.wants("0", "LOCK.BREAK l b")
		}, "", ""},
		{"a waiter", wait("LOCK.ACQUIRE l b 60000 BLOCK 0"), "", "contended 1"},
		{"another", wait("LOCK.ACQUIRE l c 60000 SHARED BLOCK 0"), "", "contended 1"},
		{"one more", wait("LOCK.ACQUIRE l d 60000 SHARED BLOCK 0"), "", "contended 1"},
		{"a deadlock", func() {
			l.wants("1", "LOCK.ACQUIRE m b 60000")
			if got := l.do("LOCK.ACQUIRE m a 60000 BLOCK 0"); !strings.HasPrefix(got, "-DEADLOCK ") {
				t.Error(got)
			}
			l.wants("1", "LOCK.RELEASE m b")
		}, "acquired of m,released of m", "grants 1,released 1,deadlocks 1"},
		{"a full queue", func() {
			l.wants("OK", "CONFIG SET distlock.max-waiters 3")
			if got := l.do("LOCK.ACQUIRE l e 60000 BLOCK 0"); !strings.HasPrefix(got, "-QUEUEFULL ") {
				t.Error(got)
			}
		}, "", "queue_full 1"},
		{"a hand-over", func() { l.wants("1", "LOCK.RELEASE l a"); served("1") }, "released,acquired", "released 1,grants 1,handed_over 1"},
		{"a hand-over to two at an expiry", func() { l.wants("1", "LOCK.EXTEND l b 10"); served("1"); served("1") },
			"expired,acquired,acquired", "extended 1,expired_while_held 1,grants 2,handed_over 2"},
		{"a wait that is called off", func() {
			wait("LOCK.ACQUIRE l e 60000 BLOCK 0")()
			l.wants("0", "LOCK.RELEASE l e")
			served("0")
		}, "", "contended 1,withdrawn 1"},
		{"a wait that runs out", func() { l.wants("0", "LOCK.ACQUIRE l e 60000 BLOCK 10") }, "", "contended 1,timeouts 1"},
		{"a break", func() { l.wants("2", "LOCK.BREAK l") }, "broken,broken", "broken 2"},
		{"a session", func() { session.wants("1", "LOCK.ACQUIRE l a 60000 SESSION") }, "acquired", "grants 1"},
		{"its waiter", wait("LOCK.ACQUIRE l b 60000 BLOCK 0"), "", "contended 1"},
		{"its end", func() { _ = session.Close(); served("1") }, "released,acquired", "sessions_ended 1,grants 1,handed_over 1"},
		{"a waiter for a removed key", wait("LOCK.ACQUIRE l c 60000 BLOCK 0"), "", "contended 1"},
		{"DEL", func() { l.wants("1", "DEL l"); served("1") }, "broken,acquired", "broken 1,grants 1,handed_over 1"},
		{"a waiter to be a ghost", wait("LOCK.ACQUIRE l g 60000 BLOCK 0"), "", "contended 1"},
		{"and who comes after it", wait("LOCK.ACQUIRE l d 60000 BLOCK 0"), "", "contended 1"},
		{"the ghost", func() {
			l.pipelined("MULTI", "LOCK.RELEASE l c", "CLIENT KILL ID "+waiters[0].id, "EXEC")
			waiters = waiters[1:]
			served("1")
		}, "released,acquired,released,acquired", "released 1,grants 2,handed_over 2,ghosts_reclaimed 1"},
	} {
		before := map[string]int64{}
		for _, counter := range counters {
			before[counter] = l.info(counter)
		}
		c.do()
		if got := strings.Join(l.happened(listener), ","); got != c.events {
			t.Errorf("%s: heard %q, want %q", c.name, got, c.events)
		}
		want := strings.Split(c.counts, ",")
		for _, counter := range counters {
			if by := l.info(counter) - before[counter]; by != 0 && !slices.Contains(want, counter+" "+strconv.FormatInt(by, 10)) ||
				by == 0 && strings.Contains(","+c.counts, ","+counter+" ") {
				t.Errorf("%s: %s counts %d more, want %q", c.name, counter, by, c.counts)
			}
		}
	}
}
