package lock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limiter lets so many pass in any period of a length, over all processes, and the
// others wait in line on the server. It is a semaphore whose places are not given back
// but run out. All who use a name must give the same numbers.
type Limiter struct {
	c   *Client
	r   request
	err error
}

// Limiter returns a limiter: n pass in any period of per, counted by the server's
// clock in whole milliseconds. n and per must be positive.
func (c *Client) Limiter(name string, n int, per time.Duration) *Limiter {
	if n <= 0 || per <= 0 {
		panic(fmt.Sprintf("lock: a limiter of %d in %v", n, per))
	}
	o := c.base
	o.Limit, o.Lease, o.Shared, o.Session, o.MinHold, o.MaxHold = n, wholeMillis(per), false, false, 0, 0
	o.Owner = "" // each who passes takes a place, and an owner has one at most
	r := request{name: name, Options: o, pass: true}
	l := &Limiter{c: c, r: r}
	if name == "" {
		l.err = errors.New("lock: a limiter needs a name")
	}
	return l
}

// Wait waits for its turn, first come, first served, until ctx ends.
func (l *Limiter) Wait(ctx context.Context) error {
	if l.err != nil {
		return l.err
	}
	if _, err := l.c.take(ctx, l.r); err != nil {
		return failed("wait for", l.r.name, err)
	}
	return nil
}

// Allow reports whether one may pass now, and counts it if so. It overtakes nobody who
// waits.
func (l *Limiter) Allow(ctx context.Context) (bool, error) {
	if l.err != nil {
		return false, l.err
	}
	switch _, err := l.c.try(ctx, l.r); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrHeld):
		return false, nil
	default:
		return false, failed("ask for", l.r.name, err)
	}
}
