// Package histogram counts durations in a fixed number of buckets, so that a
// server can tell its p99 for ever without keeping a single measurement. The
// buckets grow with the value: sixteen to each power of two, which bounds the
// error of a quantile to a sixteenth of it, at 2 KB up to a minute in milliseconds and 8 KB for all int64.
package histogram

import "math/bits"

const (
	subBits = 4 // sixteen buckets to a power of two
	sub     = 1 << subBits
)

// Histogram counts values of whatever unit its owner records. The zero value
// is empty and ready.
type Histogram struct {
	n      uint64
	max    int64
	counts []uint64 // as many as the greatest value needs
}

// Record counts one value. A negative one is what a clock set back makes of a
// duration: it counts as 0.
func (h *Histogram) Record(v int64) { h.RecordN(v, 1) }

// RecordN counts n values that are like v: for one that was sampled.
func (h *Histogram) RecordN(v int64, n uint64) {
	v = max(v, 0)
	h.n += n
	h.max = max(h.max, v)
	b := bucket(v)
	if b >= len(h.counts) {
		h.counts = append(h.counts, make([]uint64, b+1-len(h.counts))...)
	}
	h.counts[b] += n
}

// Count is the number of values recorded.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the greatest value recorded, or 0.
func (h *Histogram) Max() int64 { return h.max }

// Quantile is a value that at least the fraction q of all values do not
// exceed: never less than the true quantile, and at most a sixteenth more. It is
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
// with those that agree in their top five bits.
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
