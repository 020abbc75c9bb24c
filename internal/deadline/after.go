package deadline

import "math"

// After is d after now, or the latest time there is where the sum would overflow.
func After(now, d int64) int64 {
	if d > 0 && now > math.MaxInt64-d {
		return math.MaxInt64
	}
	return now + d
}
