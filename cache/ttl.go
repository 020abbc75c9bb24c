package cache

import (
	"context"
	"sync/atomic"
	"time"
)

// storing is what a loader says about keeping its value.
type storing struct{ lifetime atomic.Int64 } // 0 is as the options say

type storingKey struct{}

func withStoring(ctx context.Context, s *storing) context.Context {
	return context.WithValue(ctx, storingKey{}, s)
}

const doNotStore = -1

func (s *storing) ttl(otherwise time.Duration) (ttl time.Duration, keep bool) {
	switch d := s.lifetime.Load(); d {
	case 0:
		return otherwise, true
	case doNotStore:
		return 0, false
	default:
		return time.Duration(d), true
	}
}

// SetTTL is for a loader: the value it returns, or that there is none, is kept for ttl
// rather than for what the options say. ctx is the context the loader was given; with
// any other SetTTL does nothing. In FetchMany it holds for all values of the batch. A
// ttl of 0 or less is [DoNotStore].
func SetTTL(ctx context.Context, ttl time.Duration) {
	if s, ok := ctx.Value(storingKey{}).(*storing); ok {
		if ttl <= 0 {
			ttl = doNotStore
		}
		s.lifetime.Store(int64(ttl))
	}
}

// DoNotStore is for a loader: what it returns goes to the callers that wait for it now,
// here and in other processes, and is not kept. An old value stays.
func DoNotStore(ctx context.Context) { SetTTL(ctx, 0) }
