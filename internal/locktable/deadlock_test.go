package locktable_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/locktable"
)

// Everyone on the server waits while a chain is followed, so a chain that is
// sixteen times as long may cost that much more, and not its square.
func TestALongChainOfBlockedOwnersIsFollowedInItsLengthAlone(t *testing.T) {
	best := func(n int) (took time.Duration) {
		s := newService(t)
		lock := func(i int) string { return fmt.Sprint("lock:", i) }
		owner := func(i int) string { return fmt.Sprint("owner:", i) }
		for i := range n {
			s.mustGet(lock(i), owner(i), exclusive, long)
		}
		for i := range n - 1 {
			s.mustWait(lock(i+1), owner(i), exclusive, long)
		}
		for try := range 10 {
			start := time.Now()
			_, err := s.ask(request(lock(0), owner(n-1), exclusive, long))
			if d := time.Since(start); try == 0 || d < took {
				took = d
			}
			var deadlock *locktable.DeadlockError
			if !errors.As(err, &deadlock) || len(deadlock.Cycle) != n+1 {
				t.Fatalf("no deadlock of %d: %v", n, deadlock)
			}
		}
		return took
	}
	short, long := best(500), best(8000)
	t.Logf("%v and %v", short, long)
	if long > 128*short {
		t.Errorf("500 owners take %v, 8000 take %v", short, long)
	}
}
