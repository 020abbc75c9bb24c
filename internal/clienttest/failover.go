package clienttest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// Primaries are a primary, or several, that can die.
type Primaries struct {
	Client func() redis.UniversalClient // a new one, of another "process"
	Kill   func(key string)             // kills the primary of a key
}

// Failovers runs a test over Sentinel, with so many of them, and over a cluster. The
// test starts the primaries.
func Failovers(t *testing.T, sentinels int, test func(t *testing.T, start func() Primaries)) {
	t.Run("sentinel", func(t *testing.T) {
		test(t, func() Primaries {
			r := holdfasttest.Sentinel(t, 1, sentinels)
			return Primaries{func() redis.UniversalClient { return r.Client() }, func(string) { r.Primary().Kill() }}
		})
	})
	t.Run("cluster", func(t *testing.T) {
		test(t, func() Primaries {
			r := holdfasttest.Cluster(t, 3, 1)
			return Primaries{func() redis.UniversalClient { return r.Client() }, func(key string) { r.Primary(key).Kill() }}
		})
	})
}
