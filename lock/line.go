package lock

import (
	"context"
	"errors"
	"slices"
	"time"
)

// line is where the callers of this process stand that ask for the same. One
// request at a time stands for them in the server's line: granted, it is given to
// whoever is first here then, and the next is sent. So a thousand goroutines cost
// the server one connection, and the order stays first come, first served.
type line struct {
	callers []chan<- granted // first come first
	cancel  context.CancelFunc
}

type granted struct {
	lock *Lock
	err  error
}

// calm is how long after a lock was found held the next is not tried first.
const calm = time.Second

// take takes a lock, at once if it can be had, or stands in line. Where locks are
// mostly free, trying first spares a goroutine; where they are not, it would be a
// third command. A try overtakes nobody who waits on the server, and who comes here
// meanwhile stands in line behind it.
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
	if l != nil {
		me := make(chan granted, 1)
		l.callers = append(l.callers, me)
		c.mu.Unlock()
		return c.wait(ctx, l, me)
	}
	l = &line{}
	c.lines[r] = l
	if time.Since(c.heldAt) > calm {
		c.mu.Unlock()
		lock, err := c.ask(ctx, r, false, false)
		c.mu.Lock()
		if err == nil || !errors.Is(err, ErrHeld) && !passes(err) {
			c.open(r, l)
			c.mu.Unlock()
			return lock, err
		}
		if errors.Is(err, ErrHeld) {
			c.heldAt = time.Now()
		}
	}
	me := make(chan granted, 1)
	l.callers = slices.Insert(l.callers, 0, chan<- granted(me))
	c.open(r, l)
	c.mu.Unlock()
	return c.wait(ctx, l, me)
}

// open has a line served if anybody stands in it. The caller has c.mu.
func (c *Client) open(r request, l *line) {
	if len(l.callers) > 0 && c.spawnLocked(func() { c.serve(r, l) }) {
		return
	}
	delete(c.lines, r)
	for _, caller := range l.callers {
		caller <- granted{err: ErrClosed}
	}
	l.callers = nil
}

// wait waits in line until it is served.
func (c *Client) wait(ctx context.Context, l *line, me chan granted) (*Lock, error) {
	select {
	case g := <-me:
		return g.lock, g.err
	case <-ctx.Done():
	}
	if c.leave(l, me) {
		return nil, ctx.Err()
	}
	// Served in the same instant: what is granted is granted.
	g := <-me
	return g.lock, g.err
}

// leave takes a caller out of its line, and tells whether it stood there. The
// last one calls the line's request off.
func (c *Client) leave(l *line, me chan<- granted) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(l.callers, me)
	if i < 0 {
		return false
	}
	l.callers = slices.Delete(l.callers, i, i+1)
	if len(l.callers) == 0 && l.cancel != nil {
		l.cancel()
	}
	return true
}

// serve gets the lock for the callers of a line, one after another, until there
// are none.
func (c *Client) serve(r request, l *line) {
	for {
		c.mu.Lock()
		if len(l.callers) == 0 {
			delete(c.lines, r)
			c.mu.Unlock()
			return
		}
		ctx, cancel := context.WithCancel(c.ctx)
		l.cancel = cancel
		crowd := len(l.callers) > 1
		c.mu.Unlock()

		lock, err := c.grant(ctx, r, crowd)
		cancel()
		c.deliver(l, lock, err)
	}
}

// deliver gives a lock to the first in line, an error to all of them: each would
// get the same.
func (c *Client) deliver(l *line, lock *Lock, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.cancel = nil
	switch {
	case c.closed && err != nil:
		err = ErrClosed
	case errors.Is(err, context.Canceled): // called off, because nobody stood here then
		return
	}
	switch {
	case err != nil:
		for _, caller := range l.callers {
			caller <- granted{err: err}
		}
		l.callers = nil
	case len(l.callers) > 0:
		l.callers[0] <- granted{lock: lock}
		l.callers = slices.Delete(l.callers, 0, 1)
	default: // the last one left in this very moment
		c.work.Go(func() { lock.discard() })
	}
}
