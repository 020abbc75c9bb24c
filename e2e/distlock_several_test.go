package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/holdfasttest"
)

func TestSeveralLocksAreGrantedTogetherOrNotAtAll(t *testing.T) {
	inBothForms(t, func(t *testing.T, form string) {
		l := lockServer(t)
		l.wants("1", "LOCK.ACQUIRE b x 60000"+form)
		l.wants("0", "LOCK.ACQUIRE a me 60000"+form+" ALSO b c")
		l.wants("0", "EXISTS a c")
		l.wants("1", "LOCK.RELEASE b x")
		token := l.do("LOCK.ACQUIRE a me 60000 WITHTOKEN" + form + " ALSO b c")
		for _, name := range []string{"a", "b", "c"} {
			if got := l.do("LOCK.INFO %", name); !strings.Contains(got, `"owner" "me" "token" `+token+" ") {
				t.Errorf("%s, with token %s: %s", name, token, got)
			}
		}
		l.wants("0", "LOCK.EXTEND a me 90000 ALSO b d")
		l.wants("1", "LOCK.EXTEND a me 90000 ALSO b c")
		l.wants("0", "LOCK.EXTEND a me 90000 TOKEN 7 ALSO b c")
		l.wants("1", "LOCK.RELEASE c me")
		l.wants("0", "LOCK.EXTEND a me 90000 ALSO b c")
		l.wants("2", "LOCK.RELEASE a me ALSO b c d")
		l.wants("0", "EXISTS a b c d")
		l.wants("1", "LOCK.ACQUIRE s me 60000 SHARED ALSO t")
		l.wants("1", "LOCK.ACQUIRE t you 60000 SHARED ALSO s")
		l.wants("0", "LOCK.ACQUIRE t else 60000 ALSO u")
		l.nothingLeft()
	})
}

// Whoever waits for several stands in all lines at once, holds nothing while it
// waits, and is granted all when it is first in all and all are free.
func TestWhoWaitsForSeveralLocksIsServedWhenItIsFirstInAllLines(t *testing.T) {
	inBothForms(t, func(t *testing.T, form string) {
		l := lockServer(t)
		for _, end := range []string{"LOCK.RELEASE b x", "LOCK.BREAK b", "DEL b", "LOCK.EXTEND b x 20", "PEXPIRE b 20"} {
			l.wants("1", "LOCK.ACQUIRE a x 60000"+form)
			l.wants("1", "LOCK.ACQUIRE b x 60000"+form)
			both := l.park("LOCK.ACQUIRE a both 60000 BLOCK 0 WITHTOKEN" + form + " ALSO b")
			behind := l.park("LOCK.ACQUIRE b behind 60000 BLOCK 0" + form)
			other := l.park("LOCK.ACQUIRE b other 60000 BLOCK 0" + form + " ALSO c")
			l.wants("1", "LOCK.RELEASE a x")
			l.wants("0", "LOCK.ACQUIRE a late 60000"+form) // both stands in line for it
			l.wants("0", "EXISTS a")                       // and does not hold it
			l.wants("1", end)
			if token := both.read(); len(token) < 16 {
				t.Fatal(end, token)
			}
			for _, name := range []string{"a", "b"} {
				if got := l.owners(name); got != `["both"]` {
					t.Errorf("after %s %s is held by %s", end, name, got)
				}
			}
			l.wants("2", "LOCK.RELEASE a both ALSO b")
			behind.hears("1")
			l.wants("1", "LOCK.RELEASE b behind")
			other.hears("1")
			l.wants("2", "LOCK.RELEASE b other ALSO c")
		}
		l.nothingLeft()
	})
}

// However who waits for several leaves, those behind it in each line move up.
func TestWhoWaitedForSeveralLocksKeepsNobodyWaitingOnceItHasLeft(t *testing.T) {
	for way, leave := range map[string]func(l *locks, w lockWaiter){
		"time":       func(*locks, lockWaiter) {},
		"connection": func(_ *locks, w lockWaiter) { _ = w.Close() },
		"RELEASE":    func(l *locks, _ lockWaiter) { l.wants("0", "LOCK.RELEASE b both") },
		"BREAK":      func(l *locks, _ lockWaiter) { l.wants("0", "LOCK.BREAK c both") },
		"WRONGTYPE":  func(l *locks, _ lockWaiter) { l.wants("OK", "SET c x") },
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l := lockServer(t)
			block := 0
			if way == "time" {
				block = 2000 // for the next to come in
			}
			l.wants("1", "LOCK.ACQUIRE a x 60000")
			both := l.park("LOCK.ACQUIRE a both 60000 BLOCK % ALSO b c", block)
			behind := l.park("LOCK.ACQUIRE b behind 60000 BLOCK 0")
			leave(l, both)
			behind.hears("1")
			if way == "time" || way == "RELEASE" || way == "BREAK" {
				both.hears("0")
			}
			l.wants("1", "LOCK.RELEASE a x")
			l.wants("1", "LOCK.ACQUIRE a z 60000")
			l.nothingLeft()
		})
	}
}

// In transactions and scripts locks are what they are outside, and nobody waits.
func TestLocksInTransactionsAndScripts(t *testing.T) {
	l := lockServer(t)
	for _, form := range []string{"", " META m", " SHARED"} {
		got := l.pipelined("MULTI", "LOCK.ACQUIRE a me 60000"+form, "LOCK.EXTEND a me 70000", "LOCK.ACQUIRE a you 60000 BLOCK 0 LIMIT 2",
			"LOCK.ACQUIRE b me 60000"+form+" ALSO c", "LOCK.ACQUIRE c you 60000 BLOCK 0 LIMIT 2 ALSO d", "LOCK.RELEASE a me ALSO b c", "LOCK.RELEASE a me", "EXEC")
		if want := "[1 1 0 1 0 3 0]"; got[len(got)-1] != want {
			t.Errorf("MULTI: %v, want %s", got, want)
		}
		script := `local r = {}
			for i, c in ipairs({'LOCK.ACQUIRE a me 60000` + form + `', 'LOCK.ACQUIRE a you 60000 BLOCK 0 LIMIT 2', 'LOCK.EXTEND a me 70000', 'LOCK.RELEASE a you', 'LOCK.RELEASE a me', 'LOCK.RELEASE a me'}) do
				local words = {}
				for w in string.gmatch(c, '%S+') do words[#words + 1] = w end
				r[i] = redis.call(unpack(words))
			end
			return r`
		l.wants("[1 0 1 0 1 0]", "EVAL % 1 a", script)
	}
	l.wants("0", "EXISTS a b c d")
	l.nothingLeft()
}

func TestADeadlockThroughSeveralLocksIsSeen(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE a x 60000")
	l.wants("1", "LOCK.ACQUIRE b y 60000")
	l.park("LOCK.ACQUIRE c y 60000 BLOCK 0 ALSO d a")
	l.wants("-DEADLOCK x waits for y waits for x", "LOCK.ACQUIRE e x 60000 BLOCK 0 ALSO b")
	l.wants("0", "EXISTS c d e")
}

// In a cluster all locks share a slot, and a user needs its rights to each.
func TestSeveralLocksShareASlotAndAreAllAllowed(t *testing.T) {
	l := lockServer(t, inCluster)
	l.wants("OK", "CLUSTER ADDSLOTSRANGE 0 16383")
	l.until("the cluster", 1, func() int64 { return int64(strings.Count(l.do("CLUSTER INFO"), "cluster_state:ok")) })
	const cross = "-CROSSSLOT Keys in request don't hash to the same slot"
	for _, line := range []string{"LOCK.ACQUIRE {a}1 o 1000", "LOCK.EXTEND {a}1 o 1000", "LOCK.RELEASE {a}1 o"} {
		l.wants(cross, line+" ALSO {b}2")
		if got := l.do(line + " ALSO {a}2"); strings.HasPrefix(got, "-") {
			t.Error(line, got)
		}
	}
	l.wants("1", "LOCK.ACQUIRE {a}1 o 60000")
	w := l.park("LOCK.ACQUIRE {a}1 w 60000 BLOCK 0 ALSO {a}2")
	l.wants("1", "LOCK.RELEASE {a}1 o")
	w.hears("1")

	one := lockServer(t)
	one.wants("OK", "ACL SETUSER u on nopass +@all ~a*")
	u := one.another()
	u.wants("OK", "AUTH u x")
	for _, line := range []string{"LOCK.ACQUIRE a o 1000", "LOCK.EXTEND a o 1000", "LOCK.RELEASE a o"} {
		if got := u.do(line + " ALSO b"); !strings.HasPrefix(got, "-NOPERM ") {
			t.Error(line, got)
		}
		if got := u.do(line + " ALSO a2"); strings.HasPrefix(got, "-") {
			t.Error(line, got)
		}
	}
}

// What a client that lost the reply sends again does no harm.
func TestACommandThatIsSentTwiceDoesNoHarm(t *testing.T) {
	for _, form := range []string{"", " META m", " SHARED", " LIMIT 3"} {
		l := lockServer(t)
		acquire := "LOCK.ACQUIRE a me % WITHTOKEN AGAIN" + form
		token := l.do(acquire, 30000)
		l.wants(token, acquire, 60000)
		if got := l.do("PTTL a"); len(got) != 5 || got <= "30000" {
			t.Errorf("the lease has %s ms left", got)
		}
		l.wants("0", "LOCK.ACQUIRE a me 60000"+form) // without AGAIN it is not re-entrant
		l.wants("0", "LOCK.ACQUIRE a me 60000 AGAIN LIMIT 7")
		l.wants("0", "LOCK.ACQUIRE a you 60000 AGAIN LIMIT 7")
		l.wants("1", "LOCK.RELEASE a me TOKEN %", token)
		l.wants("0", "LOCK.RELEASE a me TOKEN %", token)
		next := l.do(acquire, 60000)
		l.wants("0", "LOCK.RELEASE a me TOKEN %", token) // that grant is over
		l.wants("0", "LOCK.EXTEND a me 60000 TOKEN %", token)
		l.wants("1", "LOCK.EXTEND a me 60000 TOKEN %", next)
		w := l.park("LOCK.ACQUIRE a w 60000 BLOCK 0")
		l.wants("0", "LOCK.RELEASE a w TOKEN %", token) // ends no wait
		l.waiting(1)
		l.wants(next, acquire, 60000) // also while others wait
		l.wants("1", "LOCK.RELEASE a me TOKEN %", next)
		w.hears("1")

		several := l.do("LOCK.ACQUIRE b me 30000 WITHTOKEN AGAIN" + form + " ALSO c")
		l.wants(several, "LOCK.ACQUIRE b me 60000 WITHTOKEN AGAIN"+form+" ALSO c")
		l.wants("0", "LOCK.ACQUIRE b me 60000 WITHTOKEN AGAIN"+form+" ALSO c d")
		l.wants("0", "EXISTS d")
		l.nothingLeft()
	}
}

// A session that is asked for again belongs to the connection that asked last.
func TestASessionThatIsAskedForAgainEndsWithTheLastConnection(t *testing.T) {
	l := lockServer(t)
	first, second := l.another(), l.another()
	token := first.do("LOCK.ACQUIRE a me 60000 SESSION WITHTOKEN AGAIN ALSO b")
	second.wants(token, "LOCK.ACQUIRE a me 60000 SESSION WITHTOKEN AGAIN ALSO b")
	w := l.park("LOCK.ACQUIRE a w 60000 BLOCK 0 ALSO b")
	third := first.do("CLIENT ID")
	_ = first.Close()
	l.until("the first connection", 0, func() int64 { return int64(strings.Count(l.do("CLIENT LIST ID "+third), "id=")) })
	l.wants("1", "LOCK.EXTEND a me 60000 ALSO b")
	_ = second.Close()
	w.hears("1")
	l.wants("2", "LOCK.RELEASE a w ALSO b")
	l.nothingLeft()
}

// A rate limiter to wait for in line: no more than n grants in any window, in the
// order of asking.
func TestALimitThatIsNeverReleasedIsARateLimiter(t *testing.T) {
	l := lockServer(t, holdfasttest.WithArgs("--hz", "100"))
	const n, window, callers = 5, 300, 23
	var waiters []lockWaiter
	for i := range callers {
		line := fmt.Sprintf("LOCK.ACQUIRE api caller:%d %d LIMIT %d BLOCK 20000 WITHTOKEN", i, window, n)
		if i < n {
			if got := l.do(line); len(got) < 16 {
				t.Fatal(got)
			}
			continue
		}
		w, _ := l.ask(l.another(), line)
		waiters = append(waiters, w)
	}
	var last string
	var times []int64
	for _, w := range waiters {
		token := w.read()
		if len(token) != 16 || token <= last {
			t.Fatalf("%q after %q: overtaken", token, last)
		}
		last = token
		var us int64
		_, _ = fmt.Sscan(token, &us)
		times = append(times, us/1000)
	}
	for i := n; i < len(times); i++ {
		if between := times[i] - times[i-n]; between < window {
			t.Errorf("%d grants in %d ms", n+1, between)
		}
	}
}

// Many ask again and again, and as many pass as may: n in each window, and never more.
func TestALimitIsReachedUnderLoad(t *testing.T) {
	l := lockServer(t, holdfasttest.WithArgs("--hz", "100"))
	const n, window, callers, windows = 20, 100, 60, 15
	var mu sync.Mutex
	var times []int64
	var over atomic.Bool
	var all sync.WaitGroup
	for i := range callers {
		c := l.another()
		all.Go(func() {
			for k := 0; !over.Load(); k++ {
				us, err := strconv.ParseInt(c.do("LOCK.ACQUIRE api % % LIMIT % BLOCK 20000 WITHTOKEN", fmt.Sprint(i, ":", k), window, n), 10, 64)
				if err != nil || us == 0 {
					t.Errorf("%d, %v", us, err)
					return
				}
				mu.Lock()
				times = append(times, us/1000)
				over.Store(len(times) >= n*windows)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(times)
	var took []int64 // by each n grants and the next
	for i := n; i < len(times); i++ {
		took = append(took, times[i]-times[i-n])
	}
	slices.Sort(took)
	if took[0] < window {
		t.Errorf("%d grants in %d ms", n+1, took[0])
	}
	// A busy machine delays some of them. A limit that is not reached delays all.
	if quarter := took[len(took)/4]; quarter > window*15/10 {
		t.Errorf("%d grants mostly take %d ms and more, want %d", n, quarter, window)
	}
}
