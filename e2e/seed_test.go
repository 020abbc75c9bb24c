package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// seeded is where a test's choices come from: $HOLDFAST_SEED, to repeat a run's, or
// the clock.
func seeded(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("HOLDFAST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("HOLDFAST_SEED=%d", seed)
	return seed
}
