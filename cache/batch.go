package cache

import (
	"context"
	"time"

	"holdfast/internal/blocking"
)

// batch is the flights of one FetchMany that this process asks Redis for.
type batch[T any] struct {
	c       *Cache[T]
	load    func(ctx context.Context, keys []string) (map[string]T, error)
	ctx     context.Context // has the caller's values; never ends
	flights []*flight[T]
}

// item is a flight of a batch with the answer to it.
type item[T any] struct {
	f    *flight[T]
	a    answer
	kept answerToKeep[T]
	err  error
	l    lease[T]
}

// maxWaiting is how many keys of one batch are waited for at a time, each over a
// connection of its own. Keys that another process loads together arrive together, so
// when the first has arrived the others need not be waited for.
const maxWaiting = 8

// askMany has Redis asked for the flights of a batch.
func (c *Cache[T]) askMany(b *batch[T]) {
	timer := time.AfterFunc(c.o.Timeout, b.overdue)
	if !c.spawn(func() { b.run(timer) }) {
		timer.Stop()
		for _, f := range b.flights {
			b.fail(f, ErrClosed)
		}
	}
}

func (b *batch[T]) fail(f *flight[T], err error) {
	var none T
	b.c.finish(f, none, err, isError)
}

// overdue has those flights loaded without Redis that it has not answered in time.
func (b *batch[T]) overdue() {
	var late []item[T]
	for _, f := range b.flights {
		if f.asked.CompareAndSwap(asking, abandoned) {
			late = append(late, item[T]{f: f})
		}
	}
	if len(late) == 0 {
		return
	}
	if !b.c.spawn(func() { b.loadItems(late, false) }) {
		for _, i := range late {
			b.fail(i.f, ErrClosed)
		}
		return
	}
	b.c.stats.redisErrors.Add(1)
	for _, i := range late {
		b.c.suspect(i.f.key)
	}
}

// run asks Redis for the flights and follows each to its end. It asks again for those
// that Redis refuses for the moment, but not for long.
func (b *batch[T]) run(timer *time.Timer) {
	c := b.c
	var left []*flight[T]
	var withoutRedis, toLoad, waiting []item[T]
	for _, f := range b.flights {
		if c.down.Load() == 0 || !c.isDown(f.key) {
			left = append(left, f)
		} else if f.asked.CompareAndSwap(asking, answered) {
			withoutRedis = append(withoutRedis, item[T]{f: f})
		}
	}
	var retry blocking.Backoff
	for len(left) > 0 {
		var again []*flight[T]
		for _, i := range b.ask(left) {
			switch {
			case i.err != nil && isOutage(i.err):
				c.stats.redisErrors.Add(1)
				c.suspect(i.f.key)
				again = append(again, i.f)
			case !i.f.asked.CompareAndSwap(asking, answered):
				if i.err == nil && i.a.status == "LOAD" {
					c.unlock(i.f.key, i.a.token)
				}
			case i.err == nil && c.resolve(i.f, i.a, i.kept):
			case i.err == nil && i.a.status == "LOAD":
				toLoad = append(toLoad, i)
			default:
				waiting = append(waiting, i)
			}
		}
		left = again
		if len(left) > 0 && !retry.Pause(c.ctx, c.o.refusalTime()) {
			break
		}
	}
	timer.Stop()
	for _, f := range left {
		if f.asked.CompareAndSwap(asking, answered) {
			withoutRedis = append(withoutRedis, item[T]{f: f})
		}
	}
	b.follow(waiting)
	if len(withoutRedis) > 0 {
		c.spawn(func() { b.loadItems(withoutRedis, false) })
	}
	b.loadItems(toLoad, true)
}

// ask asks Redis for flights: over the connections that report changes where there are
// any, and otherwise in one pipeline.
func (b *batch[T]) ask(flights []*flight[T]) []item[T] {
	c := b.c
	items := make([]item[T], len(flights))
	waits := make([]func() (answer, answerToKeep[T], bool), len(flights))
	var commands [][]any
	var at []int // the item of each command
	for n, f := range flights {
		items[n].f = f
		if c.near != nil {
			waits[n] = c.sendNear(b.ctx, f.key)
		}
		if waits[n] == nil {
			commands, at = append(commands, c.fetchCommand(f.key)), append(at, n)
		}
	}
	if len(commands) > 0 {
		replies, errs := c.conns.SendAll(b.ctx, commands)
		for n, i := range at {
			if items[i].err = errs[n]; errs[n] == nil {
				items[i].a, items[i].err = parse(replies[n])
			}
		}
	}
	for n, wait := range waits {
		if wait == nil {
			continue
		}
		var near bool
		if items[n].a, items[n].kept, near = wait(); !near {
			items[n].a, items[n].err = c.askNow(b.ctx, nil, flights[n].key)
		}
	}
	return items
}

// follow follows flights that another process loads, or whose answer is an error.
func (b *batch[T]) follow(waiting []item[T]) {
	next := make(chan item[T], len(waiting))
	for _, i := range waiting {
		next <- i
	}
	close(next)
	for range min(maxWaiting, len(waiting)) {
		ok := b.c.spawn(func() {
			for i := range next {
				b.c.followFrom(i.f, i.a, i.err)
			}
		})
		if !ok {
			for i := range next {
				b.fail(i.f, ErrClosed)
			}
		}
	}
}
