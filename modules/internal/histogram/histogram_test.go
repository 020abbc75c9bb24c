package histogram_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/modules/internal/histogram"
)

// A quantile is never understated and never more than a sixteenth too great,
// whatever was recorded.
func TestAQuantileIsAtMostASixteenthTooGreat(t *testing.T) {
	value := rapid.OneOf(rapid.Int64Range(0, 40), rapid.Int64Range(0, 100_000), rapid.Int64Range(0, math.MaxInt64))
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(value, 1, 200).Draw(t, "values")
		var h histogram.Histogram
		for _, v := range values {
			h.Record(v)
		}
		slices.Sort(values)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			rank := max(int(math.Ceil(q*float64(len(values)))), 1)
			want, got := values[rank-1], h.Quantile(q)
			if got < want || got-want > want/16 {
				t.Fatalf("q%g = %d, want %d or at most a sixteenth more", q, got, want)
			}
		}
		if h.Max() != values[len(values)-1] || h.Count() != uint64(len(values)) {
			t.Fatalf("max %d, count %d of %v", h.Max(), h.Count(), values)
		}
	})
}

func TestAnEmptyHistogramAnswersZero(t *testing.T) {
	var h histogram.Histogram
	if h.Quantile(0.99) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Fatal("an empty histogram has no values")
	}
}

// A duration measured over a clock set back is negative; it must not fall out
// of the buckets.
func TestANegativeDurationCountsAsZero(t *testing.T) {
	var h histogram.Histogram
	h.Record(-5)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Fatalf("q1 = %d, count %d", h.Quantile(1), h.Count())
	}
}

func BenchmarkRecord(b *testing.B) {
	var h histogram.Histogram
	b.ReportAllocs()
	for i := range b.N {
		h.Record(int64(i))
	}
}
