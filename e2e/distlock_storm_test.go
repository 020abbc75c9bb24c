package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// many sends a command n times, with i for %, and reads the replies.
func (c *cacheConn) many(n int, want, line string) {
	c.t.Helper()
	const batch = 500
	for from := 0; from < n; from += batch {
		for i := from; i < min(n, from+batch); i++ {
			c.send(strings.ReplaceAll(line, "%", strconv.Itoa(i)))
		}
		for i := from; i < min(n, from+batch); i++ {
			if got := c.read(); want != "" && got != want {
				c.t.Fatalf("%s (%d): %s, want %s", line, i, got, want)
			}
		}
	}
}

// worked is how long the server's main thread has been on a processor.
func (l *locks) worked() time.Duration {
	l.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", l.PID(), l.PID()))
	if err != nil {
		l.t.Fatal(err)
	}
	ns, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	return time.Duration(ns)
}

// slowest pings the server while during runs, and is the most that the server
// worked while one PING waited for its answer. What other processes take from
// it does not count.
func (l *locks) slowest(during func()) time.Duration {
	l.t.Helper()
	ping, stop, slowest := l.another(), make(chan struct{}), make(chan time.Duration)
	go func() {
		longest := time.Duration(0)
		for {
			select {
			case <-stop:
				slowest <- longest
				return
			default:
				began := l.worked()
				ping.do("PING")
				longest = max(longest, l.worked()-began)
				time.Sleep(200 * time.Microsecond)
			}
		}
	}()
	during()
	close(stop)
	return <-slowest
}

// used is the server's time on a processor, in ms.
func (l *locks) used() int64 {
	l.t.Helper()
	text, _ := strconv.Unquote(l.do("INFO cpu"))
	total := 0.0
	for _, line := range strings.Split(text, "\r\n") {
		for _, field := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if v, ok := strings.CutPrefix(line, field); ok {
				n, _ := strconv.ParseFloat(v, 64)
				total += n
			}
		}
	}
	return int64(total * 1000)
}

// inSmallSteps holds what f returns, the most that a PING waited for, to a bound. Where the test
// itself gets its turn late it counts work that was done after the answer, so that f has three tries.
func (l *locks) inSmallSteps(bound time.Duration, what string, f func() time.Duration) {
	l.t.Helper()
	for try := 1; ; try++ {
		longest := f()
		l.t.Logf("%s: the longest PING waited for %v of work", what, longest)
		if longest <= bound {
			return
		}
		if try == 3 {
			l.t.Errorf("%s: a PING waited for %v of work, want at most %v", what, longest, bound)
			return
		}
	}
}

// A writer waits behind many readers, whose leases end one after the other.
// Neither its own request nor the ends hold up everyone else.
func TestTheLeasesOfManyReadersEndWithoutHoldingAnyoneUp(t *testing.T) {
	const readers = 20_000
	l := lockServer(t)
	ended := int64(0)
	l.inSmallSteps(10*time.Millisecond, "readers", func() time.Duration {
		for i := range 20 {
			l.many(readers/20, "1", fmt.Sprintf("LOCK.ACQUIRE l %d.%% %d SHARED", i, 3000+i*100))
		}
		w := l.another()
		longest := l.slowest(func() {
			w.send("LOCK.ACQUIRE l w 60000 BLOCK 0")
			w.hears("1")
		})
		ended += readers
		l.until("expired", ended, func() int64 { return l.info("expired_while_held") })
		l.wants("1", "LOCK.RELEASE l w")
		return longest
	})
	l.nothingLeft()
}

func TestManyWaitersAndSessionsEndInSmallSteps(t *testing.T) {
	const sessions, waiters = 50_000, 4000
	l := lockServer(t, holdfasttest.WithArgs("--maxclients", "5000"))
	conns := make([]*cacheConn, waiters)
	for i := range conns {
		conns[i] = l.another()
	}
	ended := int64(0)
	l.inSmallSteps(10*time.Millisecond, "sessions", func() time.Duration {
		holder := l.another()
		holder.many(sessions, "1", "LOCK.ACQUIRE s:% holder 600000 SESSION")
		ended += sessions
		return l.slowest(func() {
			_ = holder.Close()
			l.until("sessions", ended, func() int64 { return l.info("sessions_ended") })
		})
	})
	// The server itself answers those who were woken in one step.
	l.inSmallSteps(30*time.Millisecond, "FLUSHALL", func() time.Duration {
		l.many(waiters, "1", "LOCK.ACQUIRE l:% holder 600000")
		for i, c := range conns {
			c.send("LOCK.ACQUIRE % w 60000 BLOCK 0", fmt.Sprint("l:", i))
		}
		l.waiting(waiters)
		longest := l.slowest(func() {
			l.wants("OK", "FLUSHALL ASYNC")
			for _, c := range conns {
				c.hears("1")
			}
		})
		l.wants("OK", "FLUSHALL")
		return longest
	})
}

// A refused try costs the same whatever the number of holders.
func TestARefusedTryCostsTheSameForFewHoldersAndForMany(t *testing.T) {
	l := lockServer(t)
	cost := map[int]float64{}
	for _, limit := range []int{10, 5000} {
		l.many(limit, "1", fmt.Sprintf("LOCK.ACQUIRE l:%d %% 600000 LIMIT %d", limit, limit))
		for range 5 { // the least of five: others use this machine too
			l.wants("OK", "CONFIG RESETSTAT")
			l.many(3000, "0", fmt.Sprintf("LOCK.ACQUIRE l:%d other 600000 LIMIT %d", limit, limit))
			stats := l.do("INFO commandstats")
			_, rest, _ := strings.Cut(stats, "cmdstat_lock.acquire:calls=3000,usec=")
			number, _, _ := strings.Cut(rest, ",")
			us, err := strconv.ParseFloat(number, 64)
			if err != nil {
				t.Fatal(stats)
			}
			if cost[limit] == 0 || us < cost[limit] {
				cost[limit] = us
			}
		}
	}
	t.Logf("µs for 3000 refused tries, by LIMIT: %v", cost)
	if cost[5000] > 2*cost[10] {
		t.Errorf("3000 refused tries take %v µs of LIMIT 5000, %v of LIMIT 10", cost[5000], cost[10])
	}
	l.wants("1", "LOCK.EXTEND l:5000 17 1") // a lease that is shortened is noticed
	w := l.another().send("LOCK.ACQUIRE l:5000 w 600000 LIMIT 5000 BLOCK 0")
	w.hears("1")
}

// Whoever may write one key may write any token there. It moves nobody's.
func TestATokenWrittenByHandStopsNobodysLocks(t *testing.T) {
	for _, write := range []string{"HSET evil x %", "SET evil % PX 600000"} {
		l := lockServer(t, lockAOF)
		record := "exclusive 9007199254740991 1 9999999999999 -"
		if strings.HasPrefix(write, "SET") {
			record = "exclusive 9007199254740991 1 x"
		}
		l.do(write, record)
		l.do("LOCK.ACQUIRE evil y 1000")
		l.park("LOCK.ACQUIRE evil w 1000 BLOCK 0")
		l.do("LOCK.INFO evil")
		for range 2 {
			token := l.do("LOCK.ACQUIRE fresh a 60000 WITHTOKEN")
			if len(token) != 16 || token >= "3" {
				t.Fatalf("token %s", token)
			}
			l.wants("1", "LOCK.EXTEND fresh a 60000")
			l.wants("1", "LOCK.RELEASE fresh a")
			l.Kill()
			l.Restart() // the walk after it reads the record as well
			l.redial()
		}
		l.wants("1", "DEL evil")
	}
}

// A server on which some wait for what is far away does next to nothing.
func TestAServerWhoseDeadlinesAreFarAwayIsIdle(t *testing.T) {
	l := lockServer(t)
	for i := range 50 {
		l.wants("1", "LOCK.ACQUIRE % a 80000000", fmt.Sprint("l:", i))
		l.wants("1", "LOCK.ACQUIRE % a 80000000 LIMIT 1 SESSION", fmt.Sprint("s:", i))
		l.park("LOCK.ACQUIRE % w 60000 BLOCK 0", fmt.Sprint("l:", i))
		l.park("LOCK.ACQUIRE % w 60000 LIMIT 3 BLOCK 9000000000000", fmt.Sprint("s:", i))
	}
	before := l.used()
	time.Sleep(2 * time.Second)
	used := l.used() - before
	t.Logf("%d ms in 2 s", used)
	if used > 40+40 { // 2 %, and INFO and the server's own clock beside it
		t.Errorf("%d ms of processor time in 2 s of doing nothing", used)
	}
}

// HPEXPIRE ends a holder's field, and the server removes it when it likes.
func TestAHolderWhoseFieldHasRunOutHoldsNothing(t *testing.T) {
	l := lockServer(t)
	if strings.HasPrefix(l.do("HPEXPIRE nothing 1 FIELDS 1 f"), "-ERR unknown command") {
		t.Skip("this server has no HPEXPIRE")
	}
	l.wants("OK", "DEBUG SET-ACTIVE-EXPIRE 0")
	for _, line := range []string{"LOCK.EXTEND l a 1000", "LOCK.RELEASE l a", "LOCK.BREAK l", "LOCK.INFO l"} {
		l.wants("1", "LOCK.ACQUIRE l a 60000 META m")
		w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
		l.wants("[1]", "HPEXPIRE l 1 FIELDS 1 a")
		w.hears("1")
		l.wants("1", "LOCK.RELEASE l w")
		l.wants("1", "LOCK.ACQUIRE l a 60000 META m")
		l.wants("[1]", "HPEXPIRE l 1 FIELDS 1 a")
		l.until("the field", 0, func() int64 { return int64(strings.Count(l.do("HGETALL l"), "exclusive")) })
		if got := l.do(line); got != "0" && got != "nil" {
			t.Errorf("%s: %s", line, got)
		}
		l.wants("1", "LOCK.ACQUIRE l b 60000")
		l.wants("1", "LOCK.RELEASE l b")
	}
}
