package lock

import (
	"context"
	"errors"
	"slices"
	"time"
)

// line is the line of the callers of this process that ask for the same. One of them
// asks the server for all: granted, it gives its turn to the next, who sends the next
// request. So a thousand goroutines cost the server one connection, and the order
// stays first come, first served.
//
// The caller whose turn it is waits on the connection itself, so that nothing but the
// network stands between the grant and its work. If it leaves, the next caller takes
// the waiting connection over, and with it the place in the server's line.
type line struct {
	waiting []chan error // first come first; nil is the turn, an error the end
	kept    *attempt     // what the last one left behind
}

// recently is how long after a lock was found held the next is not tried first.
const recently = time.Second

// take takes a lock, at once if it can be had, or stands in line.
func (c *Client) take(ctx context.Context, r request) (*Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	l := c.lines[r]
	if l == nil {
		l = &line{}
		c.lines[r] = l
		// Where locks are mostly free, trying first is cheaper than a request that may
		// wait; where they are not, it would be a third command. A try overtakes nobody
		// who waits on the server, and who comes here meanwhile stands behind it.
		try := time.Since(c.contendedAt) > recently
		c.mu.Unlock()
		return c.ask(ctx, r, l, try)
	}
	turn := make(chan error, 1)
	l.waiting = append(l.waiting, turn)
	c.mu.Unlock()
	select {
	case err := <-turn:
		if err != nil {
			return nil, err
		}
		return c.ask(ctx, r, l, false)
	case <-ctx.Done():
	}
	c.mu.Lock()
	i := slices.Index(l.waiting, turn)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	c.mu.Unlock()
	if i < 0 && <-turn == nil { // it became this caller's turn in that moment
		c.next(r, l, nil)
	}
	return nil, ctx.Err()
}

// ask asks the server on behalf of a line, and gives the turn to the next.
func (c *Client) ask(ctx context.Context, r request, l *line, try bool) (lock *Lock, err error) {
	if try {
		lock, err = c.send(ctx, r, nil)
		if errors.Is(err, ErrHeld) {
			c.contended()
		}
	}
	if !try || err != nil && (errors.Is(err, ErrHeld) || passes(err)) && ctx.Err() == nil {
		lock, err = c.grant(ctx, r, l)
	}
	everybody := err
	if ctx.Err() != nil { // this caller's alone
		everybody = nil
	}
	c.next(r, l, everybody)
	if lock == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return lock, err
}

// next gives the turn to the next in a line, or an error to all: each would get the
// same.
func (c *Client) next(r request, l *line, err error) {
	c.mu.Lock()
	if c.closed && err == nil {
		err = ErrClosed
	}
	if err != nil {
		for _, turn := range l.waiting {
			turn <- err
		}
		l.waiting = nil
	}
	var kept *attempt
	if len(l.waiting) > 0 {
		l.waiting[0] <- nil
		l.waiting = slices.Delete(l.waiting, 0, 1)
	} else {
		kept, l.kept = l.kept, nil
		delete(c.lines, r)
	}
	c.mu.Unlock()
	if kept != nil { // nobody wants it any more
		kept.conn.Cancel(kept.undo)
	}
}

// keeps reports whether a caller that leaves is followed by another.
func (c *Client) keeps(l *line, a *attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.waiting) == 0 || c.closed {
		return false
	}
	l.kept = a
	return true
}

// takeOver returns the request that another caller left behind.
func (c *Client) takeOver(l *line) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := l.kept
	l.kept = nil
	return a
}

// contended notes that a lock was found held.
func (c *Client) contended() {
	c.mu.Lock()
	c.contendedAt = time.Now()
	c.mu.Unlock()
}
