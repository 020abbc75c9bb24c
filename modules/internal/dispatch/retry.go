package dispatch

import "math/bits"

// Backoff is how many milliseconds a retry waits: evenly spread between 0 and
// base·2^retries, at most limit ("full jitter"), so that what failed together
// does not come back together. random is 64 random bits.
func Backoff(base, limit, retries int64, random uint64) int64 {
	ceiling := limit
	if retries < int64(bits.LeadingZeros64(uint64(base)))-1 {
		ceiling = min(limit, base<<retries)
	}
	// The high half of the product is evenly spread in [0, ceiling].
	delay, _ := bits.Mul64(random, uint64(ceiling)+1)
	return int64(delay)
}
