package cache

import (
	"context"
	"errors"
)

// flight is one request for a key, and what it comes to, for all the callers in
// this process that want it meanwhile.
type flight[T any] struct {
	key  string
	load func(ctx context.Context) (T, error)

	left    bool // no longer in flights: who comes now starts another
	callers int  // who waits
	alone   bool // goes on when nobody does
	cancel  context.CancelCauseFunc

	done  chan struct{} // closed when it has come to this; nil if nobody waits for it
	value T
	err   error
}

// wanted sees to it that done can be waited for. The caller has the cache's mu.
func (f *flight[T]) wanted() {
	if f.done == nil {
		f.done = make(chan struct{})
	}
}

// lead asks the server, in the first caller's goroutine: most often the value is
// there. What takes longer goes on in one of its own. It tells which it was.
func (c *Cache[T]) lead(ctx context.Context, f *flight[T]) (over bool) {
	if c.without(f.key) {
		c.detach(ctx, f, func(ctx context.Context) { c.loadAlone(ctx, f) })
		return false
	}
	a, kept, ok := c.askNear(ctx, f.key)
	var err error
	if !ok {
		if ctx.Done() != nil { // others may come to wait for the answer too
			ctx = context.WithoutCancel(ctx)
		}
		a, err = c.ask(ctx, f.key)
	}
	if err == nil {
		c.rose(f.key)
		if c.settle(f, a) {
			if ok {
				c.keep(f, a, kept)
			}
			return true
		}
	}
	c.goOn(ctx, f, a, err)
	return false
}

// goOn has a flight pursued from its first answer or error. (In lead, that these go
// along would have them allocated for every hit.)
func (c *Cache[T]) goOn(ctx context.Context, f *flight[T], a answer, err error) {
	c.detach(ctx, f, func(ctx context.Context) { c.pursue(ctx, f, a, err) })
}

// detach goes on with a flight in a goroutine that outlives the caller, for as long
// as anybody waits.
func (c *Cache[T]) detach(ctx context.Context, f *flight[T], work func(ctx context.Context)) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c.mu.Lock()
	f.wanted()
	f.cancel = cancel
	closed := c.closed
	if !closed {
		c.work.Go(func() {
			stop := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
			work(ctx)
			stop()
			cancel(nil)
		})
	}
	c.mu.Unlock()
	if closed {
		cancel(nil)
		var none T
		c.finish(f, none, ErrClosed)
	}
}

// finish tells the callers what a flight came to.
func (c *Cache[T]) finish(f *flight[T], value T, err error) {
	if err != nil {
		err = failed("fetch", f.key, err)
	}
	f.value, f.err = value, err
	c.mu.Lock()
	defer c.mu.Unlock()
	c.land(f)
	if f.done != nil {
		close(f.done)
	}
}

// land takes a flight from where it can be joined. The caller has the cache's mu.
func (c *Cache[T]) land(f *flight[T]) {
	if f != nil && !f.left {
		f.left = true
		delete(c.flights, f.key)
	}
}

// errDeserted is why a load is called off that nobody waits for.
var errDeserted = errors.New("nobody waits for it any more")

// leave is a caller's that does not wait for a flight any more. The last one calls
// it off, and who comes then starts another.
func (c *Cache[T]) leave(f *flight[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.callers--
	if f.callers > 0 || f.alone {
		return
	}
	c.land(f)
	f.cancel(errDeserted)
}
