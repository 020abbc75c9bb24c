package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// flight is one request for a key. All callers in this process who want the key
// meanwhile share it.
type flight[T any] struct {
	c    *Cache[T]
	key  string
	load func(ctx context.Context) (T, error)
	ctx  context.Context // has the values of the first caller's context; never ends

	asked    atomic.Int32 // asking, answered or abandoned
	timer    *time.Timer  // calls overdue when Redis takes too long to answer
	reusable bool         // the first answer finished it: only callers still refer to it
	readers  atomic.Int32 // callers who have not taken their answer yet

	// Guarded by the cache's mu.
	callers    int
	left       bool // a caller left, so that the flight is not reused
	unlinked   bool // not in flights any more: the next caller starts another
	finished   bool
	background bool              // goes on when no caller waits
	cancel     func(cause error) // nil until the flight goes on in the background
	others     chan struct{}     // closed when the callers who joined have an answer
	stale      bool              // others was closed early: their answer is old
	old        T

	done    chan struct{} // receives when the first caller has an answer
	value   T
	err     error
	outcome outcome
}

// The states of asked. Whoever changes it from asking decides what becomes of the
// flight: the goroutine that got the answer, or the one that waits no longer.
const (
	asking int32 = iota
	answered
	abandoned
)

// errDeserted is the cause with which a load is cancelled that nobody waits for.
var errDeserted = errors.New("nobody waits for it any more")

// join returns the flight of a key, which the caller shares from now on. It reports
// first if the caller has to have it asked.
func (c *Cache[T]) join(ctx context.Context, key string, load func(context.Context) (T, error)) (f *flight[T], first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, ErrClosed
	}
	if f := c.flights[key]; f != nil {
		if f.stale {
			return f, false, nil
		}
		if isLoading(ctx, c, key) {
			return nil, false, ErrRecursiveLoad
		}
		f.callers++
		if f.others == nil {
			f.others = make(chan struct{})
		}
		return f, false, nil
	}
	f, _ = c.spare.Get().(*flight[T])
	if f == nil {
		f = &flight[T]{c: c, done: make(chan struct{}, 1)}
	}
	f.key, f.load, f.ctx, f.callers = key, load, ctx, 1
	if ctx.Done() != nil {
		f.ctx = context.WithoutCancel(ctx)
	}
	c.flights[key] = f
	return f, true, nil
}

// wait waits for the answer to the first caller of a flight.
func (c *Cache[T]) wait(ctx context.Context, f *flight[T]) (T, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		select {
		case <-f.done: // in the same instant
		default:
			return c.leave(ctx, f)
		}
	}
	c.stats.count(f.outcome)
	return c.take(f)
}

// take returns a flight's answer to one caller. The last one lets the flight be reused.
func (c *Cache[T]) take(f *flight[T]) (T, error) {
	value, err := f.value, f.err
	if f.readers.Add(-1) == 0 && f.reusable {
		timer := f.timer
		*f = flight[T]{c: c, timer: timer, done: f.done}
		c.spare.Put(f)
	}
	return value, err
}

// share waits for the answer to a caller who joined a flight.
func (c *Cache[T]) share(ctx context.Context, f *flight[T]) (T, error) {
	select {
	case <-f.others:
	default:
		select {
		case <-f.others:
		case <-ctx.Done():
			return c.leave(ctx, f)
		}
	}
	if f.stale {
		c.stats.count(isStale)
		return f.old, nil
	}
	c.stats.count(isCoalesced)
	return c.take(f)
}

// leave is for a caller whose context has ended. The last one cancels the flight.
func (c *Cache[T]) leave(ctx context.Context, f *flight[T]) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.callers--
	f.left = true
	if f.callers == 0 && !f.background && !f.finished {
		c.unlink(f)
		if f.cancel != nil {
			f.cancel(errDeserted)
		} else {
			f.asked.CompareAndSwap(asking, abandoned)
		}
	}
	if f.stale {
		c.stats.count(isStale)
		return f.old, nil
	}
	c.stats.count(isError)
	var none T
	return none, failed("fetch", f.key, ctx.Err())
}

// finish gives the callers of a flight their answer. Only the first call counts.
func (c *Cache[T]) finish(f *flight[T], value T, err error, o outcome) {
	if err != nil {
		err = failed("fetch", f.key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked(f, value, err, o)
}

func (c *Cache[T]) finishLocked(f *flight[T], value T, err error, o outcome) {
	if f.finished {
		return
	}
	f.finished = true
	f.value, f.err, f.outcome = value, err, o
	f.readers.Store(int32(f.callers))
	if f.left {
		f.readers.Add(1) // so that the count does not reach 0
	}
	c.unlink(f)
	others, stale := f.others, f.stale
	f.done <- struct{}{} // the last use of f: its callers may reuse it now
	if others != nil && !stale {
		close(others)
	}
}

// giveOld answers the callers who joined a flight with the old value, and those who
// join from now on. The first caller goes on waiting for the load.
func (c *Cache[T]) giveOld(f *flight[T], old T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.finished {
		return
	}
	f.old, f.stale, f.background = old, true, true
	if f.others == nil {
		f.others = make(chan struct{})
	}
	close(f.others)
}

// unlink takes a flight from where callers can join it. The caller has the cache's mu.
func (c *Cache[T]) unlink(f *flight[T]) {
	if !f.unlinked {
		f.unlinked = true
		delete(c.flights, f.key)
	}
}

// goOn runs work for a flight that an answer did not finish. ctx ends when nobody
// waits for the flight any more, or with the cache.
func (c *Cache[T]) goOn(f *flight[T], work func(ctx context.Context)) {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
	defer stop()
	c.mu.Lock()
	f.reusable = false
	f.cancel = cancel
	deserted := f.callers == 0
	c.mu.Unlock()
	if deserted {
		cancel(errDeserted)
	}
	work(ctx)
}
