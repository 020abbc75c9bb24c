package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"holdfast/internal/blocking"
)

// loadItems loads the values of flights by one call of the loader, and stores them if
// Redis told this process to load them. It is cancelled when nobody waits for any of
// them.
func (b *batch[T]) loadItems(items []item[T], leased bool) {
	if len(items) == 0 {
		return
	}
	c := b.c
	ctx, cancel := context.WithCancelCause(b.ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
	defer stop()
	b.cancelWhenDeserted(items, cancel)
	over := func() {}
	if leased {
		b.begin(ctx, items)
		late := time.AfterFunc(staleWait, func() {
			for _, i := range items {
				if i.l.had {
					c.finish(i.f, i.l.old, nil, isStale)
				}
			}
		})
		defer late.Stop()
	} else {
		select {
		case c.withoutSlot <- struct{}{}:
			over = func() { <-c.withoutSlot }
		case <-ctx.Done():
			for _, i := range items {
				b.fail(i.f, context.Cause(ctx))
			}
			return
		}
	}
	stopRenewal := func() {}
	if leased {
		stopRenewal = c.renewUntil(ctx, func(ctx context.Context) bool { b.extend(ctx, items); return true })
	}
	keys, all := make([]string, len(items)), make(map[string]bool, len(items))
	for n, i := range items {
		keys[n], all[i.f.key] = i.f.key, true
	}
	var s storing
	loadCtx := withLoading(withStoring(ctx, &s), &loading{cache: c, keys: all})
	values, err := run(c, loadCtx, fmt.Sprintf("%s and %d more", keys[0], len(keys)-1),
		func(ctx context.Context) (map[string]T, error) { return b.load(ctx, keys) }, over)
	stopRenewal()
	b.end(ctx, items, leased, &s, values, err)
}

// cancelWhenDeserted lets each flight be cancelled, and cancels the load with the last.
func (b *batch[T]) cancelWhenDeserted(items []item[T], cancel context.CancelCauseFunc) {
	var left atomic.Int32
	left.Store(int32(len(items)))
	deserted := func(cause error) {
		if left.Add(-1) == 0 {
			cancel(cause)
		}
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	for _, i := range items {
		i.f.cancel = deserted
		if i.f.callers == 0 && !i.f.finished {
			deserted(errDeserted)
		}
	}
}

// begin takes the leases of items, and gives old values to callers who need not wait.
func (b *batch[T]) begin(ctx context.Context, items []item[T]) {
	c := b.c
	within := make([]bool, len(items))
	if c.o.StaleOnError > 0 {
		var commands [][]any
		var at []int
		for n, i := range items {
			if i.a.there {
				commands, at = append(commands, []any{"PTTL", c.redisKey(i.f.key)}), append(at, n)
			}
		}
		if len(commands) > 0 {
			replies, errs := c.sendAll(ctx, commands)
			for n, i := range at {
				within[i] = errs[n] == nil && c.isWithinTTL(replies[n])
			}
		}
	}
	for n := range items {
		items[n].l = c.begin(items[n].f, items[n].a, func() bool { return within[n] })
	}
}

// extend renews the leases of items. Those that are another's by now it cannot renew,
// and their values are not stored.
func (b *batch[T]) extend(ctx context.Context, items []item[T]) {
	commands := make([][]any, len(items))
	for n, i := range items {
		commands[n] = []any{"CACHE.EXTEND", b.c.redisKey(i.f.key), i.l.token, blocking.Millis(b.c.o.Lease)}
	}
	b.c.sendAll(ctx, commands)
}

// end gives the callers what was loaded, after Redis has been told of it.
func (b *batch[T]) end(ctx context.Context, items []item[T], leased bool, s *storing, values map[string]T, err error) {
	c := b.c
	var commands [][]any
	endings := make([]ending[T], len(items))
	keptOld := 0
	for n, i := range items {
		value, ok := values[i.f.key]
		itemErr := err
		switch {
		case ok:
			itemErr = nil
		case err == nil:
			itemErr = ErrNotFound
		}
		if !leased {
			endings[n] = ending[T]{value: value, err: itemErr, outcome: outcomeOf(itemErr)}
			continue
		}
		endings[n] = c.conclude(ctx, i.f, i.l, s, value, itemErr)
		commands = append(commands, endings[n].command)
		if endings[n].keptOld {
			keptOld++
		}
	}
	if keptOld > 0 {
		c.o.Logger.Warn("cache: loading values again failed, callers get the old ones", "keys", keptOld, "next_try_in", c.o.LoadBackoff, "error", err)
	}
	if len(commands) > 0 {
		_, errs := c.sendAll(context.WithoutCancel(c.ctx), commands)
		for n, err := range errs {
			if err != nil && isOutage(err) {
				c.stats.redisErrors.Add(1)
				c.suspect(items[n].f.key)
			} else if err != nil {
				c.o.Logger.Warn("cache: Redis refuses how a load ended", "command", commands[n][0], "key", items[n].f.key, "error", err)
			}
		}
	}
	for n, e := range endings {
		c.finish(items[n].f, e.value, e.err, e.outcome)
	}
}

// sendAll sends commands in one pipeline, within Timeout.
func (c *Cache[T]) sendAll(ctx context.Context, commands [][]any) (replies []any, errs []error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	return c.conns.SendAll(ctx, commands)
}
