package lock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// begin starts the life of a lock in its holder's hands.
func (l *Lock) begin(ctx context.Context) {
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	l.ctx, l.cancel = context.WithCancelCause(context.WithValue(ctx, contextKey{}, l))
	l.mu.Lock()
	l.renewal = time.AfterFunc(l.lease/3-time.Since(l.sent), l.renew)
	l.mu.Unlock()

	c := l.c
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.held[l] = struct{}{}
	}
	c.mu.Unlock()
	switch {
	case closed: // while it was granted
		l.end(ErrClosed)
	case l.conn != nil:
		c.spawn(func() {
			l.conn.Watch()
			l.end(fmt.Errorf("%w: the connection of %q's session closed", ErrLost, l.req.name))
		})
	}
}

// safeUntil is when the lease may be over: a twentieth early, for what is on its
// way when the context ends. The caller has l.mu, or is alone.
func (l *Lock) safeUntil() time.Time { return l.sent.Add(l.lease - l.lease/20) }

// lapse ends a lock that was not renewed in time.
func (l *Lock) lapse() {
	l.mu.Lock()
	left := time.Until(l.safeUntil())
	if !l.ended && left > 0 { // renewed in this very moment
		l.expiry.Reset(left)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	if most := l.req.MaxHold; most > 0 && time.Since(l.began) > most-most/10 {
		l.end(fmt.Errorf("%w: %q was held for MaxHold, %v", ErrLost, l.req.name, most))
		return
	}
	l.end(fmt.Errorf("%w: the lease of %q could not be renewed", ErrLost, l.req.name))
}

// renew renews the lease at a third of it, and tries again soon when that fails:
// the two thirds that are left are for this. A renewal that overtakes a release
// on its way does no harm, for it never acquires. Until the first one is due no lease
// can run out, and most locks do not live as long.
func (l *Lock) renew() {
	l.mu.Lock()
	if l.expiry == nil && !l.ended {
		l.expiry = time.AfterFunc(time.Until(l.safeUntil()), l.lapse)
	}
	l.mu.Unlock()
	l.c.spawn(l.renewNow)
}

// renewNow sends one renewal. Its bound is a sixth of the lease: a connection that
// the network has forgotten costs that much, and the next try takes a new one.
func (l *Lock) renewNow() {
	l.mu.Lock()
	lease := l.req.lease(time.Since(l.began))
	longer := time.Until(l.sent.Add(l.lease)) < lease
	over := l.ended || !longer // by MaxHold
	l.mu.Unlock()
	if over {
		return
	}
	sent := time.Now()
	reply, err := l.c.conns.Do(l.ctx, max(l.req.Lease/6, time.Millisecond), l.req.name, l.extension(lease)...)
	held := reply == int64(1)
	l.mu.Lock()
	next := l.req.Lease/30 + rand.N(l.req.Lease/30+1)
	if err == nil && held {
		l.sent, l.lease = sent, lease
		next = time.Until(sent.Add(lease / 3))
	}
	if !l.ended {
		if err == nil && held {
			l.expiry.Reset(time.Until(l.safeUntil()))
		}
		l.renewal.Reset(next)
	}
	l.mu.Unlock()
	if err == nil && !held {
		l.end(fmt.Errorf("%w: somebody else ended %q", ErrLost, l.req.name))
	}
}
