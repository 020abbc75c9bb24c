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

	"holdfast/internal/blocking"
	"holdfast/lock"
)

// catchUp is how old a tick may be that is still published: one that fell into a change
// of leaders, an outage, or a time in which the server refused it.
const catchUp = time.Minute

// PeriodicOptions say how periodic tasks are published. The zero value is a good one.
type PeriodicOptions struct {
	// Lease is how long the others wait for a process that publishes and vanishes without
	// closing its connection. Defaults to 30 seconds.
	Lease time.Duration

	// Logger is told of ticks that cannot be published, and of outages. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// Validate tells which option is wrong. NewPeriodic panics with the same error.
func (o PeriodicOptions) Validate() error {
	return invalid("PeriodicOptions", blocking.NotNegative(blocking.Option{Name: "Lease", Value: int64(o.Lease)}))
}

// Periodic publishes tasks by schedules. Run one in every process: the one that
// holds the lock of the name publishes, and another takes over when it dies.
type Periodic struct {
	rdb  redis.UniversalClient
	name string
	o    PeriodicOptions

	mu      sync.Mutex
	entries []*periodicTask
	added   chan struct{} // closed, and made anew, when there is another entry
}

// periodicTask is a task and its schedule.
type periodicTask struct {
	name     string
	schedule *Schedule
	publish  func(ctx context.Context, tick time.Time, options ...PublishOption) error
}

// NewPeriodic returns a publisher of periodic tasks. All of one name must have the
// same tasks. The name is the key of the lock, and so must not be that of a queue. It
// panics if the options are not valid.
func NewPeriodic(rdb redis.UniversalClient, name string, options PeriodicOptions) *Periodic {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	options.Logger = cmp.Or(options.Logger, slog.Default())
	options.Lease = cmp.Or(options.Lease, 30*time.Second)
	return &Periodic{rdb: rdb, name: name, o: options, added: make(chan struct{})}
}

// Every adds a task, before Run or while it runs: payload makes the task for a tick. The name tells
// the tasks of p apart; Every returns an error if there is one of this name, or if an argument
// is missing. A tick is published once, however many processes there are, and whoever of them
// dies: its time is part of the unique id it is published by. A tick that cannot be published
// is tried again for a minute, or until the next tick is due; then it is left out.
func Every[T any](p *Periodic, q *Queue[T], name string, s *Schedule, payload func(tick time.Time) T, options ...PublishOption) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fail := func(why string) error { return fmt.Errorf("queue: periodic %q: task %q: %s", p.name, name, why) }
	switch {
	case name == "":
		return fail("it needs a name")
	case q == nil:
		return fail("the Queue is nil")
	case s == nil:
		return fail("the Schedule is nil")
	case payload == nil:
		return fail("the function that makes its payload is nil")
	case q.invalid != nil:
		return q.invalid
	}
	for _, e := range p.entries {
		if e.name == name {
			return fail("there is one of this name already")
		}
	}
	p.entries = append(p.entries, &periodicTask{
		name: name, schedule: s,
		publish: func(ctx context.Context, tick time.Time, more ...PublishOption) error {
			_, err := q.Publish(ctx, payload(tick), append(append([]PublishOption{}, options...), more...)...)
			return err
		},
	})
	close(p.added)
	p.added = make(chan struct{})
	return nil
}

// Run publishes, or waits for its turn to, until ctx ends, through outages of any length,
// and returns nil then, within seconds whether the server answers or not. An error that does not pass,
// such as a missing module, ends Run.
func (p *Periodic) Run(ctx context.Context) error {
	if p.name == "" {
		return errors.New("queue: periodic tasks need a name, for their lock")
	}
	locks := lock.New(p.rdb, lock.Options{Session: true, Lease: p.o.Lease})
	defer func() { _ = locks.Close() }()
	var backoff blocking.Backoff
	for ctx.Err() == nil {
		l, err := locks.Acquire(ctx, p.name)
		switch {
		case err == nil:
			backoff = blocking.Backoff{}
			if ctx.Err() == nil {
				p.lead(ctx, l)
			}
			_ = l.Release(ctx) // if the lock is lost, it is another's turn
		case ctx.Err() != nil:
		case !blocking.Passes(err):
			return fmt.Errorf("queue: periodic %q: %w", p.name, err)
		default:
			p.o.Logger.Warn("queue: the lock of periodic tasks cannot be had, it is tried again", "name", p.name, "error", err)
			backoff.Pause(ctx, forever)
		}
	}
	return nil
}

// lead publishes for as long as the lock is held.
func (p *Periodic) lead(ctx context.Context, l *lock.Lock) {
	leading, cancel := context.WithCancel(l.Context())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	var all sync.WaitGroup
	defer all.Wait()
	for begun := 0; ; {
		p.mu.Lock()
		entries, added := p.entries, p.added
		p.mu.Unlock()
		for ; begun < len(entries); begun++ {
			e := entries[begun]
			all.Go(func() { p.tick(leading, e) })
		}
		select {
		case <-leading.Done():
			return
		case <-added:
		}
	}
}

// tick publishes the ticks of a task until ctx ends.
func (p *Periodic) tick(ctx context.Context, e *periodicTask) {
	for next := e.latest(time.Now()); !next.IsZero(); next = e.following(next) {
		if !sleepUntil(ctx, next) {
			return
		}
		p.publish(ctx, e, next)
	}
}

// publish publishes one tick, again and again until the tick is too old.
func (p *Periodic) publish(ctx context.Context, e *periodicTask, tick time.Time) {
	id := fmt.Sprintf("%s:%s:%d", escape(p.name), escape(e.name), tick.UnixMilli())
	until := tick.Add(catchUp)
	if after := e.schedule.Next(tick); !after.IsZero() && after.Before(until) {
		until = after
	}
	bounded, cancel := context.WithDeadline(ctx, until.Add(time.Second)) // at least one try
	defer cancel()
	var backoff blocking.Backoff
	logged := false
	for {
		// The id must be remembered for as long as anybody may publish the tick.
		err := e.publish(bounded, tick, Unique(id, 10*catchUp))
		if err == nil || ctx.Err() != nil {
			return
		}
		if !logged {
			logged = true
			p.o.Logger.Error("queue: a periodic task cannot be published yet", "name", e.name, "tick", tick, "until", until, "error", err)
		}
		if time.Now().After(until) || !backoff.Pause(bounded, forever) {
			p.o.Logger.Error("queue: a tick of a periodic task is left out", "name", e.name, "tick", tick, "error", err)
			return
		}
	}
}

// latest is the last tick that may have been missed, else the next one.
func (e *periodicTask) latest(now time.Time) time.Time {
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

// following is the tick after one; where an outage, or a machine that slept, went over
// several, the last of them.
func (e *periodicTask) following(tick time.Time) time.Time {
	next := e.schedule.Next(tick)
	if now := time.Now(); !next.IsZero() && now.Sub(next) > catchUp {
		return e.latest(now)
	}
	return next
}

// sleepUntil waits for a time, and tells whether it came before ctx ended. It looks at the
// clock now and then: a clock may be set, and a machine may sleep.
func sleepUntil(ctx context.Context, at time.Time) bool {
	for {
		left := time.Until(at.Round(0))
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(left, catchUp/4))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}
