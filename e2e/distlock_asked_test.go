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

// What the server says of how long locks are waited for and held agrees with what
// their clients measure: within an eighth, or the millisecond in which it counts.
func TestINFOTellsHowLongLocksAreWaitedForAndHeld(t *testing.T) {
	for _, form := range []string{"", " META m"} {
		l := lockServer(t)
		var waits, holds []time.Duration
		holder := l.another()
		for i := range 40 {
			hold := time.Duration(1+i%8*5) * time.Millisecond
			holder.wants("1", "LOCK.ACQUIRE l a 60000"+form)
			granted := time.Now()
			w := lockWaiter{cacheConn: l.another()}
			asked := time.Now()
			l.parkOn(w.cacheConn, "LOCK.ACQUIRE l w 60000 BLOCK 0"+form)
			time.Sleep(hold)
			holder.wants("1", "LOCK.RELEASE l a")
			holds = append(holds, time.Since(granted))
			w.hears("1")
			waits = append(waits, time.Since(asked))
			granted = time.Now()
			l.wants("1", "LOCK.RELEASE l w")
			holds = append(holds, time.Since(granted))
			_ = w.Close()
		}
		for name, measured := range map[string][]time.Duration{"wait_ms": waits, "hold_ms": holds} {
			slices.Sort(measured)
			if n := l.info(name + "_count"); n != int64(len(measured)) {
				t.Errorf("%s: %d of %d are counted", name, n, len(measured))
			}
			for quantile, rank := range map[string]int{"_p50": len(measured) / 2, "_p99": len(measured) - 1, "_max": len(measured) - 1} {
				got, want := time.Duration(l.info(name+quantile))*time.Millisecond, measured[min(rank, len(measured)-1)]
				if got > want+want/8+5*time.Millisecond || got < want-want/8-5*time.Millisecond {
					t.Errorf("%s%s is %v, clients measured %v", name, quantile, got, want)
				}
			}
		}
	}
}
