package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

func TestTheLockContract(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	l.wants("0", "LOCK.ACQUIRE l b 60000")
	l.wants("0", "LOCK.ACQUIRE l a 60000") // not re-entrant
	l.wants("0", "LOCK.EXTEND l b 60000")
	l.wants("1", "LOCK.EXTEND l a 90000")
	if ttl, _ := strconv.Atoi(l.do("PTTL l")); ttl <= 60000 || ttl > 90000 {
		t.Errorf("the lease has %d ms left", ttl)
	}
	l.wants("0", "LOCK.RELEASE l b")
	l.wants("1", "LOCK.RELEASE l a")
	l.wants("0", "LOCK.RELEASE l a")
	l.wants("0", "LOCK.EXTEND l a 1000")
	l.wants("0", "EXISTS l") // EXTEND never creates a lock

	// Binary names, binary owners, and empty ones.
	for _, s := range []string{"", "\x00\r\n", "a b", strings.Repeat("x", 10000)} {
		l.wants("1", "LOCK.ACQUIRE % % 60000", "n"+s, s)
		l.wants("0", "LOCK.ACQUIRE % % 60000", "n"+s, "else")
		l.wants("1", "LOCK.EXTEND % % 60000", "n"+s, s)
		l.wants("1", "LOCK.RELEASE % %", "n"+s, s)
	}
	l.wants("1", "LOCK.ACQUIRE % o 60000", "")
	l.wants("1", "LOCK.RELEASE % o", "")

	// Within its lease a lock is held; after it, it is free.
	l.wants("1", "LOCK.ACQUIRE l a 1")
	w := l.another().send("LOCK.ACQUIRE l b 60000 BLOCK 0")
	w.hears("1")
	l.wants("0", "LOCK.RELEASE l a")
}

func TestARefusedLockCommandSaysWhyAndChangesNothing(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE held a 60000")
	l.wants("OK", "SET string x")
	l.wants("1", "HSET hash field value")
	before := l.do("DEBUG DIGEST")
	const (
		integer = "-ERR value is not an integer or out of range"
		wrong   = "-WRONGTYPE Operation against a key holding the wrong kind of value"
		syntax  = "-ERR syntax error"
	)
	expire := func(c string) string { return "-ERR invalid expire time in '" + c + "' command" }
	arity := func(c string) string { return "-ERR wrong number of arguments for '" + c + "' command" }
	for line, want := range map[string]string{
		"LOCK.ACQUIRE":                                 arity("lock.acquire"),
		"LOCK.ACQUIRE l a":                             arity("lock.acquire"),
		"LOCK.EXTEND l a":                              arity("lock.extend"),
		"LOCK.EXTEND l a 1 2":                          syntax,
		"LOCK.EXTEND l a 1 ALSO":                       syntax,
		"LOCK.EXTEND l a 1 TOKEN":                      syntax,
		"LOCK.EXTEND l a 1 TOKEN 0":                    integer,
		"LOCK.RELEASE l a ALSO":                        syntax,
		"LOCK.RELEASE l a TOKEN x":                     integer,
		"LOCK.RELEASE l a ALSO m l":                    "-ERR the same lock is named twice",
		"LOCK.RELEASE l a ALSO string":                 wrong,
		"LOCK.EXTEND held a 1 ALSO hash":               wrong,
		"LOCK.ACQUIRE l a 1 ALSO":                      syntax,
		"LOCK.ACQUIRE l a 1 ALSO l":                    "-ERR the same lock is named twice",
		"LOCK.ACQUIRE l a 1 ALSO hash":                 wrong,
		"LOCK.ACQUIRE l a 1 BLOCK 0 ALSO string":       wrong,
		"LOCK.LIST OWNER":                              syntax,
		"LOCK.RELEASE l":                               arity("lock.release"),
		"LOCK.RELEASE l a b":                           syntax,
		"LOCK.BREAK":                                   arity("lock.break"),
		"LOCK.BREAK l a b":                             arity("lock.break"),
		"LOCK.INFO":                                    arity("lock.info"),
		"LOCK.FENCE g":                                 arity("lock.fence"),
		"LOCK.ACQUIRE l a x":                           integer,
		"LOCK.ACQUIRE l a 1.5":                         integer,
		"LOCK.ACQUIRE l a +1":                          integer,
		"LOCK.ACQUIRE l a 9223372036854775808":         integer,
		"LOCK.ACQUIRE l a 0":                           expire("lock.acquire"),
		"LOCK.ACQUIRE l a -1":                          expire("lock.acquire"),
		"LOCK.ACQUIRE l a 9223372036854775807":         expire("lock.acquire"),
		"LOCK.ACQUIRE l a 86400001":                    expire("lock.acquire") + ": distlock.max-ttl-ms is 86400000",
		"LOCK.ACQUIRE l a 1 BLOCK -1":                  expire("lock.acquire"),
		"LOCK.ACQUIRE l a 1 BLOCK 9223372036854775807": expire("lock.acquire"),
		"LOCK.ACQUIRE l a 1 BLOCK x":                   integer,
		"LOCK.ACQUIRE l a 1 BLOCK":                     syntax,
		"LOCK.ACQUIRE l a 1 LIMIT":                     syntax,
		"LOCK.ACQUIRE l a 1 LIMIT 0":                   integer,
		"LOCK.ACQUIRE l a 1 LIMIT -1":                  integer,
		"LOCK.ACQUIRE l a 1 META":                      syntax,
		"LOCK.ACQUIRE l a 1 SHARED LIMIT 2":            syntax,
		"LOCK.ACQUIRE l a 1 LIMIT 2 SHARED":            syntax,
		"LOCK.ACQUIRE l a 1 NX":                        syntax,
		"LOCK.EXTEND held a 0":                         expire("lock.extend"),
		"LOCK.EXTEND held a x":                         integer,
		"LOCK.EXTEND held a 9223372036854775807":       expire("lock.extend"),
		"LOCK.ACQUIRE string a 1":                      wrong,
		"LOCK.ACQUIRE string a 1 BLOCK 0":              wrong,
		"LOCK.EXTEND string a 1":                       wrong,
		"LOCK.RELEASE string a":                        wrong,
		"LOCK.BREAK string":                            wrong,
		"LOCK.INFO string":                             wrong,
		"LOCK.ACQUIRE hash a 1":                        wrong,
		"LOCK.ACQUIRE hash field 1 SHARED":             wrong,
		"LOCK.EXTEND hash field 1":                     wrong,
		"LOCK.RELEASE hash a":                          wrong,
		"LOCK.BREAK hash":                              wrong,
		"LOCK.INFO hash":                               wrong,
		"LOCK.FENCE hash 1":                            wrong,
		"LOCK.FENCE string 1":                          integer,
		"LOCK.FENCE g x":                               integer,
		"LOCK.LIST COUNT 0":                            integer,
		"LOCK.LIST NX":                                 syntax,
		"LOCK.LIST CURSOR x":                           "-ERR invalid cursor",
	} {
		l.wants(want, line)
		l.refusedAlike(line)
	}
	if after := l.do("DEBUG DIGEST"); after != before {
		t.Error("a refused command changed something")
	}
}

func TestLocksHaveAsManyHoldersAsTheirModeAllows(t *testing.T) {
	l := lockServer(t)
	for i := range 3 {
		l.wants("1", "LOCK.ACQUIRE sem % 60000 LIMIT 3", i)
		l.wants("1", "LOCK.ACQUIRE shared % 60000 SHARED", i)
	}
	l.wants("0", "LOCK.ACQUIRE sem x 60000 LIMIT 3")
	l.wants("0", "LOCK.ACQUIRE sem x 60000 LIMIT 9") // another n is another mode
	l.wants("0", "LOCK.ACQUIRE sem x 60000")
	l.wants("0", "LOCK.ACQUIRE sem x 60000 SHARED")
	l.wants("0", "LOCK.ACQUIRE shared x 60000")
	l.wants("0", "LOCK.ACQUIRE shared 1 60000 SHARED") // it holds it already
	l.wants("1", "LOCK.ACQUIRE one a 60000 LIMIT 1")
	l.wants("0", "LOCK.ACQUIRE one b 60000")
	l.wants("1", "LOCK.RELEASE sem 1")
	l.wants("1", "LOCK.ACQUIRE sem x 60000 LIMIT 3")

	// The key lives as long as its last holder.
	l.wants("1", "LOCK.ACQUIRE s a 10000 SHARED")
	l.wants("1", "LOCK.ACQUIRE s b 50000 SHARED")
	between := func(low, high int) {
		t.Helper()
		if ttl, _ := strconv.Atoi(l.do("PTTL s")); ttl <= low || ttl > high {
			t.Errorf("the key has %d ms left, want more than %d and no more than %d", ttl, low, high)
		}
	}
	between(10000, 50000)
	l.wants("1", "LOCK.EXTEND s b 1000")
	between(1000, 10000)
	l.wants("1", "LOCK.EXTEND s b 70000")
	between(50000, 70000)
	l.wants("1", "LOCK.RELEASE s b")
	between(1000, 10000)
}

func TestALockIsAStringOrAHashThatPeopleCanRead(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE text % 60000", "web 1")
	if got := l.do("GET text"); !regexp.MustCompile(`^"exclusive \d{16} \d{13} web 1"$`).MatchString(got) {
		t.Errorf("the string is %s", got)
	}
	l.wants("1", "LOCK.ACQUIRE l % 60000 LIMIT 5 META % SESSION", "web-1", "pid 7")
	want := regexp.MustCompile(`^\["web-1" "limit:5 \d{16} \d{13} \d{13} session pid 7"\]$`)
	if got := l.do("HGETALL l"); !want.MatchString(got) {
		t.Errorf("%s does not match %s", got, want)
	}
}

func TestINFOTellsWhoHoldsAndWhoWaits(t *testing.T) {
	l := lockServer(t)
	for resp, pattern := range map[int]string{
		2: `["mode" "shared" "limit" 0 "holders" [["owner" "a" "token" N "ttl_ms" N "held_ms" N "session" 1 "meta" "m" "foreign" 0]] ` +
			`"waiters" [["owner" "b" "mode" "exclusive" "waited_ms" N "also" 0] ["owner" "c" "mode" "limit" "waited_ms" N "also" 0]] "expired_while_held" N]`,
		3: `{"mode" "shared" "limit" 0 "holders" [{"owner" "a" "token" N "ttl_ms" N "held_ms" N "session" 1 "meta" "m" "foreign" 0}] ` +
			`"waiters" [{"owner" "b" "mode" "exclusive" "waited_ms" N "also" 0} {"owner" "c" "mode" "limit" "waited_ms" N "also" 0}] "expired_while_held" N}`,
	} {
		c := l.another()
		c.do("HELLO %", resp)
		c.wants("nil", "LOCK.INFO l")
		c.wants("1", "LOCK.ACQUIRE l a 60000 SHARED SESSION META m")
		b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
		d := l.park("LOCK.ACQUIRE l c 60000 LIMIT 2 BLOCK 0")
		want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), "N", `\d+`) + "$")
		if got := c.do("LOCK.INFO l"); !want.MatchString(got) {
			t.Errorf("%s\ndoes not match\n%s", got, want)
		}
		_, _ = b.Close(), d.Close()
		l.waiting(0)
		c.wants("1", "LOCK.RELEASE l a")
	}
}

func TestLISTFindsEveryLockAndNothingElse(t *testing.T) {
	l := lockServer(t)
	want := map[string]bool{}
	for i := range 300 {
		name := fmt.Sprintf("lock:%d", i)
		want[strconv.Quote(name)] = true
		l.wants("1", "LOCK.ACQUIRE % a 60000"+[]string{"", " META m"}[i%2], name)
		l.do("HSET % f v", "hash:"+name)
		l.do("SET % v", "string:"+name)
		l.do("SET % % PX 60000", "foreign:"+name, strings.Repeat("x", i%100))
	}
	for _, match := range []string{"", "MATCH lock:1*"} {
		got, cursor := map[string]bool{}, "0"
		for first := true; first || cursor != "0"; first = false {
			reply := strings.Trim(l.do("LOCK.LIST CURSOR "+cursor+" COUNT 10 "+match), "[] ")
			head, names, _ := strings.Cut(reply, " [")
			if cursor, _ = strconv.Unquote(head); cursor == "" {
				t.Fatalf("LIST %s answers %s", match, reply)
			}
			for _, name := range strings.Fields(names) {
				got[name] = true
			}
		}
		for name := range got {
			if !want[name] || match != "" && !strings.HasPrefix(name, `"lock:1`) {
				t.Errorf("LIST %s names %s", match, name)
			}
		}
		for name := range want {
			if !got[name] && (match == "" || strings.HasPrefix(name, `"lock:1`)) {
				t.Errorf("LIST %s does not name %s", match, name)
			}
		}
	}
}

// Locks that are only waited for have no key, so LIST itself must match them as
// the server matches keys.
func TestLISTMatchesLocksWithoutAHolderAsTheServerMatchesKeys(t *testing.T) {
	l := lockServer(t, onlyDistlock(t, "quarantine-ms", "600000"))
	keys := l.another()
	keys.wants("OK", "SELECT 1")
	for _, name := range []string{"", "a", "ab", "a*b", "a]b", "a-b", "a^b", `a\b`, "b", "c-c", "ba", strings.Repeat("a", 40)} {
		keys.wants("OK", "SET % v", name)
		l.park("LOCK.ACQUIRE % w 60000 BLOCK 0", name)
	}
	sorted := func(names string) string {
		words := strings.Fields(strings.Trim(names, "[]"))
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	for _, glob := range []string{
		"", "*", "?", "??", "a*", "*b", "a*b", "a**b", `a\*b`, `a\\b`, `a\`, "a[*]b", "[ab]", "[^a]", "[^a]*", "[a-c]", "[c-a]*", "a[]b",
		"a[^b]b", "a[-]b", `a[\]]b`, "[", "a[", "*[", "?[^-]?", strings.Repeat("a*", 15) + "b", strings.Repeat("a*", 15) + "?",
	} {
		names, _ := strings.CutPrefix(l.do("LOCK.LIST MATCH %", glob), `["0" `)
		if got, want := sorted(names), sorted(keys.do("KEYS %", glob)); got != want {
			t.Errorf("MATCH %s: %s, KEYS %s", glob, got, want)
		}
	}
}

func TestBREAKTellsFromHowManyItTook(t *testing.T) {
	l := lockServer(t)
	for _, o := range []string{"a", "b", "c"} {
		l.wants("1", "LOCK.ACQUIRE l % 60000 SHARED", o)
	}
	w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
	l.wants("0", "LOCK.BREAK l nobody")
	l.wants("1", "LOCK.BREAK l b")
	l.wants("2", "LOCK.BREAK l")
	w.hears("1")
	l.wants("1", "LOCK.BREAK l")
	l.wants("0", "LOCK.BREAK l")
	l.nothingLeft()
}

func TestAFenceLetsNoStaleTokenPass(t *testing.T) {
	l := lockServer(t)
	old := l.do("LOCK.ACQUIRE l a 60000 WITHTOKEN")
	l.wants("1", "LOCK.RELEASE l a")
	young := l.do("LOCK.ACQUIRE l b 60000 WITHTOKEN")
	l.wants("1", "LOCK.FENCE guard %", old)
	l.wants("1", "LOCK.FENCE guard %", young)
	l.wants("0", "LOCK.FENCE guard %", old)
	l.wants("1", "LOCK.FENCE guard %", young)
	l.wants(strconv.Quote(young), "GET guard")
	l.do("PEXPIRE guard 60000")
	l.wants("1", "LOCK.FENCE guard 9007199254740991")
	if ttl, _ := strconv.Atoi(l.do("PTTL guard")); ttl <= 0 {
		t.Error("the guard lost its expiry")
	}
}

func TestAFullServerStillReleasesLocks(t *testing.T) {
	l := lockServer(t, holdfasttest.WithArgs("--maxmemory-policy", "noeviction"))
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	w := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
	l.wants("OK", "CONFIG SET maxmemory 1")
	if got := l.do("LOCK.ACQUIRE m a 60000"); !strings.HasPrefix(got, "-OOM ") {
		t.Error(got)
	}
	l.wants("1", "LOCK.EXTEND l a 60000")
	l.wants("1", "LOCK.RELEASE l a")
	w.hears("1")
	l.wants("1", "LOCK.BREAK l")
}

// A refused try or a read must not abort those who watch the key.
func TestOnlyWhatChangesALockIsAChangeToThoseWhoWatchIt(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "LOCK.ACQUIRE l a 60000")
	for line, changes := range map[string]bool{
		"LOCK.ACQUIRE l b 60000": false, "LOCK.EXTEND l b 60000": false, "LOCK.RELEASE l b": false,
		"LOCK.INFO l": false, "LOCK.LIST": false, "LOCK.EXTEND l a 60000": true,
	} {
		c := l.another()
		c.wants("OK", "WATCH l")
		l.do(line)
		if got := c.pipelined("MULTI", "PING", "EXEC")[2]; (got == "nil") != changes {
			t.Errorf("after %s EXEC answers %s", line, got)
		}
	}
}
