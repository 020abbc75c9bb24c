package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLISTTellsOfOneOwnersLocksAndOfEachWhatINFODoes(t *testing.T) {
	l := lockServer(t)
	for i := range 40 {
		l.wants("1", "LOCK.ACQUIRE % % 60000"+[]string{"", " META m", " SHARED", " LIMIT 2"}[i%4], fmt.Sprint("l:", i), fmt.Sprint("o:", i%8))
	}
	l.park("LOCK.ACQUIRE l:0 o:3 60000 BLOCK 0")
	l.park("LOCK.ACQUIRE l:1 o:9 60000 BLOCK 0 ALSO free")
	all := func(options string) (names []string) {
		for cursor, first := "0", true; first || cursor != "0"; first = false {
			words := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(l.do("LOCK.LIST COUNT 5 CURSOR " + cursor + " " + options)))
			cursor = strings.Trim(words[0], `"`)
			names = append(names, words[1:]...)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	if got, want := fmt.Sprint(all("OWNER o:3")), `["l:0" "l:11" "l:19" "l:27" "l:3" "l:35"]`; got != want {
		t.Errorf("o:3: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(all("OWNER o:9")), `["free" "l:1"]`; got != want {
		t.Errorf("o:9: %s, want %s", got, want)
	}
	if got := all("OWNER nobody"); len(got) != 0 {
		t.Error(got)
	}
	info := l.do("LOCK.INFO l:1")
	list := l.do("LOCK.LIST MATCH l:1 COUNT 1000 WITHINFO")
	for _, part := range []string{`"name" "l:1" "holding" 1 "waiting" 1 "mode" "exclusive"`, `"owner" "o:1"`, `"meta" "m"`, `"owner" "o:9" "mode" "exclusive"`, `"also" 1`, `"expired_while_held" 0`} {
		if !strings.Contains(list, part) || !strings.HasPrefix(part, `"name"`) && !strings.Contains(info, part) {
			t.Errorf("%s is not in %s, or not in %s", part, list, info)
		}
	}
}

// How often the leases of a lock ran out before their holder let go is told of each
// lock, whoever noticed it.
func TestINFOTellsHowOftenTheLeasesOfALockRanOut(t *testing.T) {
	l := lockServer(t)
	for range 3 {
		l.wants("1", "LOCK.ACQUIRE l a 1")
		l.until("the lock", 0, func() int64 { return int64(strings.Count(l.do("EXISTS l"), "1")) })
	}
	l.wants("1", "LOCK.ACQUIRE l a 20 SHARED")
	w := l.another().send("LOCK.ACQUIRE l w 60000 BLOCK 0")
	w.hears("1")
	l.wants("1", "LOCK.ACQUIRE other a 60000")
	for name, want := range map[string]string{"l": `"expired_while_held" 4`, "other": `"expired_while_held" 0`} {
		if got := l.do("LOCK.INFO %", name); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// spans are times that clients measured: each is longer than the least, by what lies between
// replies and requests, and shorter than the most, by what lies between requests and replies.
type spans struct{ least, most []time.Duration }

// add adds a span that began between two times and ended between two others.
func (s *spans) add(began, begun, ends, ended time.Time) {
	s.least, s.most = append(s.least, ends.Sub(begun)), append(s.most, ended.Sub(began))
}

// What the server says of how long locks are waited for and held agrees with what
// their clients measure: within an eighth, or the millisecond in which it counts.
func TestINFOTellsHowLongLocksAreWaitedForAndHeld(t *testing.T) {
	for _, form := range []string{"", " META m"} {
		l := lockServer(t)
		var waits, holds spans
		holder := l.another()
		for i := range 40 {
			hold := time.Duration(1+i%8*5) * time.Millisecond
			asked := time.Now()
			holder.wants("1", "LOCK.ACQUIRE l a 60000"+form)
			granted := time.Now()
			w := l.park("LOCK.ACQUIRE l w 60000 BLOCK 0" + form)
			parked := time.Now()
			time.Sleep(hold) // what is measured is a time
			lets := time.Now()
			holder.wants("1", "LOCK.RELEASE l a")
			holds.add(asked, granted, lets, time.Now())
			w.hears("1")
			heard := time.Now()
			waits.add(granted, parked, lets, heard)
			l.wants("1", "LOCK.RELEASE l w")
			holds.add(lets, heard, heard, time.Now())
			_ = w.Close()
		}
		for name, measured := range map[string]spans{"wait_ms": waits, "hold_ms": holds} {
			slices.Sort(measured.least)
			slices.Sort(measured.most)
			n := len(measured.least)
			if counted := l.info(name + "_count"); counted != int64(n) {
				t.Errorf("%s: %d of %d are counted", name, counted, n)
			}
			for quantile, rank := range map[string]int{"_p50": (n+1)/2 - 1, "_p99": n - 1, "_max": n - 1} {
				got, least, most := time.Duration(l.info(name+quantile))*time.Millisecond, measured.least[rank], measured.most[rank]
				if got < least-least/8-2*time.Millisecond || got > most+most/8+2*time.Millisecond {
					t.Errorf("%s%s is %v, clients measured %v to %v", name, quantile, got, least, most)
				}
			}
		}
	}
}
