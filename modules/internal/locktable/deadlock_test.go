package locktable_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"holdfast/modules/internal/locktable"
)

// Everyone on the server waits while a chain is followed, so one that is sixteen
// times as long may cost that much more, and not its square. What is allocated
// on the way tells, and does not depend on what else the machine does.
func TestALongChainOfBlockedOwnersIsFollowedInItsLengthAlone(t *testing.T) {
	cost := func(n int) uint64 {
		s := newService(t)
		lock := func(i int) string { return fmt.Sprint("lock:", i) }
		owner := func(i int) string { return fmt.Sprint("owner:", i) }
		for i := range n {
			s.mustGet(lock(i), owner(i), exclusive, long)
		}
		for i := range n - 1 {
			s.mustWait(lock(i+1), owner(i), exclusive, long)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.ask(request(lock(0), owner(n-1), exclusive, long))
		runtime.ReadMemStats(&after)
		var deadlock *locktable.DeadlockError
		if !errors.As(err, &deadlock) || len(deadlock.Cycle) != n+1 {
			t.Fatalf("no deadlock of %d: %v", n, deadlock)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	short, long := cost(500), cost(8000)
	t.Logf("%d and %d bytes", short, long)
	if long > 64*short {
		t.Errorf("500 owners take %d bytes, 8000 take %d", short, long)
	}
}
