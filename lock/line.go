package lock

import (
	"context"
	"slices"
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

// wait stands in line for a lock.
func (c *Client) wait(ctx context.Context, r request) (*Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	me := make(chan granted, 1)
	c.mu.Lock()
	l := c.lines[r]
	if l == nil {
		l = &line{}
		if !c.spawnLocked(func() { c.serve(r, l) }) {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		c.lines[r] = l
	}
	l.callers = append(l.callers, me)
	c.mu.Unlock()
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
	case context.Canceled == err: // called off, because nobody stood here then
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
