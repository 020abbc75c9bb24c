// Package histogram counts durations in a fixed number of buckets, so that a
// server can tell its p99 for ever without keeping a single measurement. The
// buckets grow with the value: eight to each power of two, which bounds the
// error of a quantile to an eighth of it, at 4 KB for the whole range of int64.
package histogram

import "math/bits"

const (
	subBits = 3 // eight buckets to a power of two
	sub     = 1 << subBits
	buckets = (63-subBits)*sub + sub
)

// Histogram counts values of whatever unit its owner records. The zero value
// is empty and ready.
type Histogram struct {
	n      uint64
	max    int64
	counts [buckets]uint64
}

// Record counts one value. A negative one is what a clock set back makes of a
// duration: it counts as 0.
func (h *Histogram) Record(v int64) {
	v = max(v, 0)
	h.n++
	h.max = max(h.max, v)
	h.counts[bucket(v)]++
}

// Count is the number of values recorded.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the greatest value recorded, or 0.
func (h *Histogram) Max() int64 { return h.max }

// Quantile is a value that at least the fraction q of all values do not
// exceed: never less than the true quantile, and at most an eighth more. It is
// 0 when nothing was recorded. q is between 0 and 1.
func (h *Histogram) Quantile(q float64) int64 {
	// The smallest rank that covers the fraction: the 99th of 100 for 0.99.
	rank := uint64(q * float64(h.n))
	if float64(rank) < q*float64(h.n) {
		rank++
	}
	rank = max(rank, 1)
	var seen uint64
	for b, c := range h.counts {
		if seen += c; seen >= rank {
			return min(upper(b), h.max)
		}
	}
	return 0
}

// bucket is the place of v: small values have one each, greater ones share it
// with those that agree in their top four bits.
func bucket(v int64) int {
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(uint64(v)) - 1 - subBits
	return shift*sub + int(v>>shift)
}

// upper is the greatest value of a bucket.
func upper(b int) int64 {
	if b < 2*sub {
		return int64(b)
	}
	shift := b/sub - 1
	return int64(sub+b%sub+1)<<shift - 1
}
