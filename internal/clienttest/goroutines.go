package clienttest

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// WatchGoroutines checks at the end of a test that none is left of the goroutines that
// start from now on.
func WatchGoroutines(t *testing.T) {
	before := goroutines()
	t.Cleanup(func() {
		var left string
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			left = ""
			for id, stack := range goroutines() {
				if _, old := before[id]; !old {
					left += "\n\n" + stack
				}
			}
			if left == "" {
				return
			}
			if time.Now().After(end) {
				t.Errorf("goroutines are left:%s", left)
				return
			}
		}
	})
}

// goroutines are the stacks of all goroutines but those that may stay, by what
// identifies each.
func goroutines() map[string]string {
	stacks := make([]byte, 1<<20)
	for n := runtime.Stack(stacks, true); ; n = runtime.Stack(stacks, true) {
		if n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	all := map[string]string{}
	for i, stack := range strings.Split(strings.TrimSpace(string(stacks)), "\n\n") {
		head, frames, _ := strings.Cut(stack, "\n")
		id, _, _ := strings.Cut(head, " [")
		switch {
		case i == 0: // who asks
		case strings.Contains(frames, "testing.tRunner("), strings.Contains(frames, "os/signal."): // another test; the runtime's own
		case strings.Contains(frames, "holdfast/internal/redisserver.startPinned"): // the one thread that starts servers stays
		// A client that found nobody to connect to sleeps before it sees that it was closed.
		case strings.Contains(frames, "pool.(*ConnPool).tryDial"):
		default:
			all[id] = stack
		}
	}
	return all
}
