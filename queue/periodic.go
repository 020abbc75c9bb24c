package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/lock"
)

// catchUp is how old a tick may be that is made up for: one that fell into a change
// of leaders, or an outage.
const catchUp = time.Minute

// Periodic publishes tasks by schedules. Run one in every process: one of them,
// which holds the lock of the name, publishes; another one takes over when it dies.
type Periodic struct {
	rdb    redis.UniversalClient
	name   string
	logger *slog.Logger

	mu      sync.Mutex
	entries []*periodic
}

// periodic is a task and its schedule.
type periodic struct {
	name     string
	schedule *Schedule
	publish  func(ctx context.Context, tick time.Time, options ...PublishOption) error
	next     time.Time
}

// NewPeriodic returns a publisher of periodic tasks. Those of one name must have
// the same tasks. The name is the key of the lock, and so not that of a queue. A nil
// logger is slog.Default().
func NewPeriodic(rdb redis.UniversalClient, name string, logger *slog.Logger) *Periodic {
	return &Periodic{rdb: rdb, name: name, logger: cmp.Or(logger, slog.Default())}
}

// Every adds a task, before Run: payload makes it for a tick. The name tells the
// tasks of p apart. A tick is published once, however many processes there are, and
// whoever of them dies: its time is part of the unique id it is published by. One
// that falls into an outage of more than a minute is left out; the latest of the last
// minute is made up for when Run begins.
func Every[T any](p *Periodic, q *Queue[T], name string, s *Schedule, payload func(tick time.Time) T, options ...PublishOption) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, &periodic{
		name: name, schedule: s,
		publish: func(ctx context.Context, tick time.Time, more ...PublishOption) error {
			_, err := q.Publish(ctx, payload(tick), append(append([]PublishOption{}, options...), more...)...)
			return err
		},
	})
}

// Run publishes, or waits to, until ctx ends, and returns nil then. Errors that do
// not pass end it too.
func (p *Periodic) Run(ctx context.Context) error {
	if p.name == "" {
		return errors.New("queue: periodic tasks need a name, for their lock")
	}
	locks := lock.New(p.rdb, lock.Options{Session: true})
	defer func() { _ = locks.Close() }()
	for ctx.Err() == nil {
		l, err := locks.Acquire(ctx, p.name)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = l.Release(ctx)
			}
			return nil
		case err != nil:
			return fmt.Errorf("queue: periodic %q: %w", p.name, err)
		}
		p.lead(ctx, l)
		_ = l.Release(ctx) // if it is lost, it is another's turn
	}
	return nil
}

// lead publishes for as long as the lock is held.
func (p *Periodic) lead(ctx context.Context, l *lock.Lock) {
	leading, cancel := context.WithCancel(l.Context())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	p.mu.Lock()
	entries := p.entries
	p.mu.Unlock()
	now := time.Now()
	for _, e := range entries {
		e.next = e.latest(now)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-leading.Done():
			return
		case <-timer.C:
		}
		soon := time.Now().Add(catchUp)
		for _, e := range entries {
			p.catchUp(leading, e)
			if !e.next.IsZero() && e.next.Before(soon) {
				soon = e.next
			}
		}
		timer.Reset(time.Until(soon))
	}
}

// latest is the last tick that may have been missed, else the next one.
func (e *periodic) latest(now time.Time) time.Time {
	last := e.schedule.Next(now.Add(-catchUp))
	for !last.IsZero() {
		next := e.schedule.Next(last)
		if next.IsZero() || next.After(now) {
			break
		}
		last = next
	}
	return last
}

// catchUp publishes what of a task is due.
func (p *Periodic) catchUp(ctx context.Context, e *periodic) {
	for now := time.Now(); !e.next.IsZero() && !e.next.After(now) && ctx.Err() == nil; {
		id := fmt.Sprintf("%s:%s:%d", p.name, e.name, e.next.UnixMilli())
		// It must be remembered for as long as anybody may make up for the tick.
		if err := e.publish(ctx, e.next, Unique(id, 10*catchUp)); err != nil && ctx.Err() == nil {
			p.logger.Error("queue: a periodic task cannot be published", "name", e.name, "tick", e.next, "error", err)
		}
		e.next = e.schedule.Next(e.next)
		if now.Sub(e.next) > catchUp { // an outage, or a machine that slept
			e.next = e.latest(now)
		}
	}
}
