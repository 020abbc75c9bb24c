package e2e

import (
	"regexp"
	"strings"
	"testing"
)

const released = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end`

// A lock that another library took with SET NX PX and its own random value.
func TestALockBySETNXPXIsALockHeldByItsValue(t *testing.T) {
	for _, value := range []string{"v", "16fd2706-8baf-433b-82eb-8c7fada847da", strings.Repeat("long ", 100), "12345"} {
		l := lockServer(t)
		l.wants("OK", "SET l % NX PX 60000", value)
		encoding := l.do("OBJECT ENCODING l")
		l.wants("0", "LOCK.ACQUIRE l me 60000")
		l.wants("0", "LOCK.ACQUIRE l me 60000 SHARED")
		want := regexp.MustCompile(`^\["mode" "exclusive" "limit" 1 "holders" \[\["owner" ".*" "token" nil "ttl_ms" \d+ "held_ms" nil "session" 0 "meta" "" "foreign" 1\]\]`)
		if got := l.do("LOCK.INFO l"); !want.MatchString(got) {
			t.Errorf("INFO: %s", got)
		}
		l.wants(encoding, "OBJECT ENCODING l")
		l.wants("0", "LOCK.EXTEND l me 60000")
		l.wants("0", "LOCK.RELEASE l me")
		l.wants("0", "LOCK.RELEASE l % TOKEN 1", value)
		l.wants("1", "LOCK.EXTEND l % 90000", value)
		if ttl := l.do("PTTL l"); len(ttl) != 5 || ttl <= "60000" {
			t.Errorf("%s ms left", ttl)
		}
		l.wants("1", "LOCK.RELEASE l %", value)
		l.wants("0", "EXISTS l")

		l.wants("OK", "SET l % NX PX 60000", value)
		l.wants("1", "LOCK.BREAK l")
		l.wants("1", "LOCK.ACQUIRE l me 60000")
		l.wants("nil", "SET l % NX PX 60000", value) // and theirs keeps off ours
		l.wants("1", "LOCK.RELEASE l me")
		l.nothingLeft()
	}
}

func TestWhoWaitsForALockBySETNXPXIsServedHoweverItEnds(t *testing.T) {
	for way, end := range map[string]func(l *locks){
		"their release": func(l *locks) { l.wants("1", "EVAL % 1 l v", released) },
		"DEL":           func(l *locks) { l.wants("1", "DEL l") },
		"its expiry":    func(l *locks) { l.wants("1", "PEXPIRE l 20") },
		"RELEASE":       func(l *locks) { l.wants("1", "LOCK.RELEASE l v") },
		"BREAK":         func(l *locks) { l.wants("1", "LOCK.BREAK l v") },
		"EXTEND":        func(l *locks) { l.wants("1", "LOCK.EXTEND l v 20") },
		"SET by hand":   func(l *locks) { l.wants("OK", "SET l v PX 20") },
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l := lockServer(t)
			l.wants("OK", "SET l v NX PX 60000")
			b := l.park("LOCK.ACQUIRE l b 60000 BLOCK 0")
			c := l.park("LOCK.ACQUIRE l c 60000 BLOCK 0 ALSO m")
			end(l)
			b.hears("1")
			l.wants("nil", "SET l v NX PX 60000")
			l.wants("1", "LOCK.RELEASE l b")
			c.hears("1")
			l.nothingLeft()
		})
	}
}

// A string that does not expire is no lock, nor is one longer than any record.
func TestAStringThatIsNoLockIsLeftAlone(t *testing.T) {
	const wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value"
	l := lockServer(t)
	l.wants("OK", "SET plain value")
	l.wants("OK", "SET long % PX 60000", strings.Repeat("x", 1<<20))
	for _, name := range []string{"plain", "long"} {
		digest := l.do("DEBUG DIGEST")
		l.wants(wrong, "LOCK.ACQUIRE % me 1000", name)
		l.wants(wrong, "LOCK.ACQUIRE % me 1000 BLOCK 0", name)
		l.wants(wrong, "LOCK.RELEASE % value", name)
		l.wants(wrong, "LOCK.INFO %", name)
		l.wants(wrong, "LOCK.BREAK %", name)
		l.wants(digest, "DEBUG DIGEST")
	}
}

// A lock as the version before wrote it is understood, extended, released and
// waited for; who gets it next writes the form of today.
func TestALockInTheFormOfTheVersionBeforeIsServed(t *testing.T) {
	l := lockServer(t)
	l.wants("1", "HSET l a %", "exclusive 1790000000000000 1790000000000 9999999999999 -")
	l.wants("1", "PEXPIREAT l 9999999999999")
	l.wants("0", "LOCK.ACQUIRE l b 60000")
	l.wants("1", "LOCK.EXTEND l a 60000")
	w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0")
	l.wants("hash", "TYPE l")
	l.wants("1", "LOCK.RELEASE l a")
	w.hears("1")
	l.wants("string", "TYPE l")
	l.wants("1", "LOCK.RELEASE l w")
	l.nothingLeft()
}
