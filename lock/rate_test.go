package lock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"holdfast/lock"
)

func TestALimiterLetsSoManyPassInAPeriodAndTheOthersWaitInLine(t *testing.T) {
	s := start(t)
	const n, per, callers = 5, 200 * time.Millisecond, 20
	var all sync.WaitGroup
	began := time.Now()
	for range 4 {
		limiter := s.client(lock.Options{}).Limiter("api", n, per)
		for range callers / 4 {
			all.Go(func() {
				if err := limiter.Wait(s.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	// n pass at once, and n more in each period.
	if took := time.Since(began); took < (callers/n-1)*per {
		t.Errorf("%d passed in %v", callers, took)
	}
	limiter := s.client(lock.Options{}).Limiter("once", 1, time.Minute)
	for _, want := range []bool{true, false} {
		if ok, err := limiter.Allow(s.Context()); ok != want || err != nil {
			t.Error(ok, err)
		}
	}
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Millisecond)
	defer cancel()
	if err := limiter.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// Each who passes takes a place, also where the client's locks have one owner.
func TestALimiterOfAClientWithAnOwnerLetsAsManyPass(t *testing.T) {
	s := start(t)
	limiter := s.client(lock.Options{Owner: "me"}).Limiter("api", 2, time.Minute)
	for _, want := range []bool{true, true, false} {
		if ok, err := limiter.Allow(s.Context()); ok != want || err != nil {
			t.Error(ok, err)
		}
	}
}
