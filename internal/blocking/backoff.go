package blocking

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff spaces tries out: exponentially, with jitter, from 5 ms to half a
// second. Its zero value is ready.
type Backoff struct {
	next  time.Duration
	since time.Time
}

// Pause waits before the next try, and tells whether there is to be one: not
// when ctx ends, nor when they have failed for as long as outage.
func (b *Backoff) Pause(ctx context.Context, outage time.Duration) bool {
	if b.since.IsZero() {
		b.since, b.next = time.Now(), 5*time.Millisecond
	}
	left := outage - time.Since(b.since)
	if left <= 0 {
		return false
	}
	d := b.next/2 + rand.N(b.next/2)
	b.next = min(2*b.next, 500*time.Millisecond)
	t := time.NewTimer(min(d, left))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
