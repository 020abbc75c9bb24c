package queue

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// BackoffFunc says how long a task waits after a failed try: try is 1 for the first,
// err is what the handler returned.
type BackoffFunc func(try int, err error) time.Duration

// Exponential waits first after the first try and twice as long after each further
// one, up to most. A random part of the wait, up to half of it, is left out, so that
// tasks that failed together do not come back together.
func Exponential(first, most time.Duration) BackoffFunc {
	return func(try int, _ error) time.Duration {
		d := first
		for n := 1; n < try && d < most; n++ {
			d *= 2
		}
		if d = min(d, most); d <= 1 {
			return max(d, 0)
		}
		return d - rand.N(d/2)
	}
}

// Constant waits the same time after each try.
func Constant(d time.Duration) BackoffFunc {
	return func(int, error) time.Duration { return d }
}

// backoffText writes the parameters of an exponential backoff into a task's field, and
// backoffOf reads them.
func backoffText(first, most time.Duration) string {
	return fmt.Sprint(first.Milliseconds(), " ", most.Milliseconds())
}

func backoffOf(text string) (BackoffFunc, bool) {
	var first, most int64
	if n, err := fmt.Sscan(text, &first, &most); n != 2 || err != nil || first < 0 || most < first {
		return nil, false
	}
	return Exponential(time.Duration(first)*time.Millisecond, time.Duration(most)*time.Millisecond), true
}
