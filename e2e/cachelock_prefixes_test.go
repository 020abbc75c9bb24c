package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prefixes are the lines of INFO about prefixes, as far as the load times.
func (c *cacheConn) prefixes() (lines []string) {
	c.t.Helper()
	text, _ := strconv.Unquote(c.do("INFO cachelock"))
	for _, line := range strings.Split(text, "\r\n") {
		if line, ok := strings.CutPrefix(line, "cachelock_prefix_"); ok {
			_, counts, _ := strings.Cut(line, ":")
			counts, times, _ := strings.Cut(counts, ",load_ms_p50=")
			_, prefix, _ := strings.Cut(times, ",prefix=")
			lines = append(lines, prefix+" "+counts)
		}
	}
	return lines
}

// Each kind of key is counted by itself, whoever answers: C, a handler, or the one who
// stores what others wait for.
func TestEachPrefixIsCountedByItself(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CONFIG SET cachelock.stats-prefixes %", "user: page: page:de:")
	token := c.loads("CACHE.FETCH page:1 60000 60000") // a miss and a load
	waiting := c.park(3, "CACHE.FETCH page:1 60000 60000 BLOCK 0")
	c.wants("OK", "CACHE.SET page:1 v 60000 TOKEN %", token)
	for _, w := range waiting {
		w.hears(`["HIT" "v" nil]`) // a miss, and served by another's load
	}
	for range 5 {
		c.wants(`"v"`, "CACHE.GET page:1")
		c.wants(`["HIT" "v" nil]`, "CACHE.FETCH page:1 60000 60000 BLOCK 5")
		c.wants(`["HIT" "v" nil]`, "CACHE.FETCH page:1 60000 60000 REFRESH 5")
		c.wants(`"HIT"`, "CACHE.LOCK page:1 60000 60000")
	}
	c.wants("nil", "CACHE.GET page:de:1")
	c.wants(`"LOAD"`, "CACHE.LOCK user:1 60000 60000")
	c.wants(`"WAIT"`, "CACHE.LOCK user:1 60000 60000")
	c.wants("nil", "CACHE.GET elsewhere")
	c.wants("nil", "CACHE.GET pag")
	want := "[page: hits=20,misses=4,loads=1,coalesced=3 page:de: hits=0,misses=1,loads=0,coalesced=0 user: hits=0,misses=2,loads=1,coalesced=1]"
	if got := fmt.Sprint(c.prefixes()); got != want {
		t.Errorf("INFO has %s, want %s", got, want)
	}
	// A waiter that takes over begins another load.
	second := c.park(1, "CACHE.FETCH user:1 60000 60000 BLOCK 0")
	c.wants("0", "CACHE.DEL user:1")
	c.isToLoad(second[0].read())
	// Counts of a prefix that stays go on, those of a new one begin.
	c.wants("OK", "CONFIG SET cachelock.stats-prefixes %", "user: page elsewhere")
	c.wants(`"v"`, "CACHE.GET page:1")
	want = "[elsewhere hits=0,misses=0,loads=0,coalesced=0 page hits=1,misses=0,loads=0,coalesced=0 user: hits=0,misses=3,loads=2,coalesced=2]"
	if got := fmt.Sprint(c.prefixes()); got != want {
		t.Errorf("after another choice INFO has %s, want %s", got, want)
	}
	c.wants("OK", "CONFIG SET cachelock.stats-prefixes %", "")
	if got := c.prefixes(); len(got) != 0 {
		t.Errorf("without prefixes INFO has %v", got)
	}
}

func TestLoadTimesOfAPrefixAreToldByInfo(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CONFIG SET cachelock.stats-prefixes slow:")
	began := time.Now()
	token := c.loads("CACHE.FETCH slow:1 60000 60000")
	for told := time.Now(); time.Since(told) < 20*time.Millisecond; {
		c.do("PING")
	}
	c.wants("OK", "CACHE.SET slow:1 v 60000 TOKEN %", token)
	text := c.do("INFO cachelock")
	_, after, _ := strings.Cut(text, "cachelock_prefix_0:")
	_, after, _ = strings.Cut(after, "load_ms_max=")
	most, _, _ := strings.Cut(after, ",")
	if ms, err := strconv.Atoi(most); err != nil || ms < 15 || int64(ms) > time.Since(began).Milliseconds()+1 {
		t.Errorf("the load took %q ms by INFO, and %v in all", most, time.Since(began))
	}
}

func TestPrefixesAreCheckedWhenTheyAreSet(t *testing.T) {
	c := cacheServer(t)
	c.wants("OK", "CONFIG SET cachelock.stats-prefixes %", "b  a b")
	c.wants(`["cachelock.stats-prefixes" "b  a b"]`, "CONFIG GET cachelock.stats-prefixes")
	var many []string
	for i := range 65 {
		many = append(many, fmt.Sprint("p", i))
	}
	for _, wrong := range []string{strings.Join(many, " "), "a\x01b", "a\x00b"} {
		if reply := c.do("CONFIG SET cachelock.stats-prefixes %", wrong); !strings.HasPrefix(reply, "-ERR") {
			t.Errorf("CONFIG SET to %.30q is answered %s", wrong, reply)
		}
	}
	c.wants(`["cachelock.stats-prefixes" "b  a b"]`, "CONFIG GET cachelock.stats-prefixes")
	c.wants("OK", "CONFIG SET cachelock.stats-prefixes %", strings.Join(many[:64], " "))
	if got := c.prefixes(); len(got) != 64 {
		t.Errorf("INFO has %d prefixes, want 64", len(got))
	}
}
