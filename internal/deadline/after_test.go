package deadline_test

import (
	"math"
	"testing"

	"holdfast/internal/deadline"
)

func TestNoDurationLeadsIntoThePast(t *testing.T) {
	for _, c := range []struct{ now, d, want int64 }{
		{1000, 500, 1500},
		{1000, -500, 500},
		{1000, 0, 1000},
		{0, math.MaxInt64, math.MaxInt64},
		{1, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64 - 1, 1, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64},
	} {
		if got := deadline.After(c.now, c.d); got != c.want {
			t.Errorf("%d after %d is %d, want %d", c.d, c.now, got, c.want)
		}
	}
}
