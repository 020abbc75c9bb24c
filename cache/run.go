package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"holdfast/internal/codec"
)

// errGoexit is the error of a loader that ended its goroutine.
var errGoexit = errors.New("the loader ended its goroutine")

// panicked is the error of a loader that panicked.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("the loader panicked: %v", p.value) }

// public is the text of an error for callers in other processes. What a panic said may
// hold secrets, and helps nobody there.
func public(err error) string {
	switch {
	case errors.As(err, new(panicked)):
		return "the loader panicked"
	case errors.As(err, new(codec.Panicked)):
		return "the codec panicked"
	}
	return err.Error()
}

// run runs a flight's loader on a goroutine of its own. It returns when the loader
// has, or when the load's time is over even if the loader goes on; over is called when
// the loader has returned. A panic is an error: no caller could recover it.
func (c *Cache[T]) run(ctx context.Context, f *flight[T], s *storing, over func()) (T, error) {
	ctx = withLoading(withStoring(ctx, s), &loading{cache: c, key: f.key})
	return run(c, ctx, f.key, f.load, over)
}

// run is generic in what the loader returns too: one value, or those of a batch.
func run[T, R any](c *Cache[T], ctx context.Context, key string, load func(context.Context) (R, error), over func()) (R, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	type loaded struct {
		value R
		err   error
	}
	came := make(chan loaded, 1)
	started := c.spawnIn(&c.loaders, func() {
		l := loaded{err: errGoexit}
		defer func() {
			if p := recover(); p != nil {
				l.err = panicked{p}
				c.o.Logger.Error("cache: a loader panicked", "key", key, "panic", p, "stack", string(debug.Stack()))
			}
			over()
			came <- l
		}()
		l.value, l.err = load(ctx)
	})
	var l loaded
	if !started {
		over()
		return l.value, ErrClosed
	}
	c.stats.loads.Add(1)
	select {
	case l = <-came:
	case <-ctx.Done():
		select {
		case l = <-came: // in the same instant
		default:
			l.err = ctx.Err()
		}
	}
	if l.err != nil && !errors.Is(l.err, ErrNotFound) {
		c.stats.loadErrors.Add(1)
		if cause := context.Cause(ctx); cause != nil && !errors.Is(l.err, cause) {
			l.err = fmt.Errorf("%w (%w)", cause, l.err)
		}
	}
	return l.value, l.err
}

// oneLine is a text that fits in an error reply.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), 500)], "")
}
