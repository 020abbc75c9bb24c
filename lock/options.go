package lock

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

// Options say how locks are taken. The zero value is a good one.
type Options struct {
	// Lease is how long a lock outlives a holder that vanished, in whole
	// milliseconds. It is renewed at each third of it. The server bounds it by
	// distlock.max-ttl-ms. Defaults to 30 seconds.
	Lease time.Duration

	// Limit is how many may hold a lock together, which makes it a semaphore. All
	// who take the same semaphore must give the same. Defaults to 1.
	Limit int

	// MaxHold is how long a lock is held at most: then its lease is not renewed any
	// more, and its context ends. Defaults to 0: as long as its holder likes.
	MaxHold time.Duration

	// Meta is a text that LOCK.INFO shows beside a holder. Defaults to none. The owner,
	// which LOCK.INFO shows too, names program, host and process; where Owner is set,
	// that name follows the Meta.
	Meta string

	// MinHold is how long a lock is kept from others at least: after an earlier
	// Release the server frees it when that time is over. It is for short jobs that
	// several machines start at the same time by clocks that differ. It cannot be
	// combined with Session. Defaults to 0.
	MinHold time.Duration

	// Outage is how long Acquire and Release try again while the server cannot be
	// reached, starts or is failed over, before they return the error. Waiting for
	// a lock that is held is no outage. Defaults to 30 seconds.
	Outage time.Duration

	// Owner is the name under which locks are held. The server finds cycles of
	// owners that wait for each other: who would close one gets [ErrDeadlock]. For
	// that, give the same owner to all that one task holds, and another one to each
	// other task. Locks are not re-entrant: an owner that asks for what it holds
	// waits. A release or renewal is of its own grant alone, by the token. Where a reply
	// was lost LOCK.INFO is asked, too. Defaults to a new owner for each lock.
	Owner string

	// Replicas is how many replicas must have confirmed a lock before it counts as
	// acquired. Defaults to 0: replication is not waited for.
	Replicas int

	// ReplicasTimeout is how long they may take, in whole milliseconds. Defaults
	// to one second.
	ReplicasTimeout time.Duration

	// Session ties locks to a connection: the server frees a lock at once when its
	// holder dies, and does not wait for the lease to run out. Each lock held costs
	// a connection. Defaults to false.
	Session bool

	// Shared lets any number hold a lock together, as readers do. A lock that is
	// held shared cannot be had exclusively, nor the other way round. Defaults to
	// false.
	Shared bool
}

// Option changes how one lock is taken.
type Option func(*Options)

// Lease sets [Options.Lease].
func Lease(d time.Duration) Option { return func(o *Options) { o.Lease = d } }

// Limit sets [Options.Limit].
func Limit(n int) Option { return func(o *Options) { o.Limit = n } }

// MaxHold sets [Options.MaxHold].
func MaxHold(d time.Duration) Option { return func(o *Options) { o.MaxHold = d } }

// Meta sets [Options.Meta].
func Meta(text string) Option { return func(o *Options) { o.Meta = text } }

// MinHold sets [Options.MinHold].
func MinHold(d time.Duration) Option { return func(o *Options) { o.MinHold = d } }

// Owner sets [Options.Owner].
func Owner(name string) Option { return func(o *Options) { o.Owner = name } }

// Replicas sets [Options.Replicas] and [Options.ReplicasTimeout].
func Replicas(n int, timeout time.Duration) Option {
	return func(o *Options) { o.Replicas, o.ReplicasTimeout = n, timeout }
}

// Session sets [Options.Session].
func Session() Option { return func(o *Options) { o.Session = true } }

// Shared sets [Options.Shared].
func Shared() Option { return func(o *Options) { o.Shared = true } }

// Validate reports what is wrong with the options. [New] panics with that error:
// options that come from a configuration file should be validated first.
func (o Options) Validate() error {
	err := blocking.NotNegative(
		blocking.Option{Name: "Lease", Value: int64(o.Lease)},
		blocking.Option{Name: "Limit", Value: int64(o.Limit)},
		blocking.Option{Name: "MaxHold", Value: int64(o.MaxHold)},
		blocking.Option{Name: "MinHold", Value: int64(o.MinHold)},
		blocking.Option{Name: "Outage", Value: int64(o.Outage)},
		blocking.Option{Name: "Replicas", Value: int64(o.Replicas)},
		blocking.Option{Name: "ReplicasTimeout", Value: int64(o.ReplicasTimeout)},
	)
	switch {
	case err != nil:
	case o.Shared && o.Limit > 0:
		err = fmt.Errorf("a lock that is Shared has no Limit (%d): choose one", o.Limit)
	case o.Session && o.MinHold > 0:
		err = errors.New("a lock with MinHold outlives its Session: choose one")
	case o.MaxHold > 0 && o.MinHold > o.MaxHold:
		err = fmt.Errorf("MinHold (%v) is longer than MaxHold (%v)", o.MinHold, o.MaxHold)
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// withDefaults is the options with what they default to.
func (o Options) withDefaults() Options {
	o.Lease = cmp.Or(wholeMillis(o.Lease), 30*time.Second)
	o.MaxHold, o.MinHold = wholeMillis(o.MaxHold), wholeMillis(o.MinHold)
	o.Outage = cmp.Or(o.Outage, 30*time.Second)
	o.ReplicasTimeout = cmp.Or(wholeMillis(o.ReplicasTimeout), time.Second)
	return o
}

// lease is what to ask for as the next lease of a lock that was held for so long: 0
// is none.
func (o *Options) lease(held time.Duration) time.Duration {
	lease := o.Lease
	if o.MaxHold > 0 {
		lease = min(lease, o.MaxHold-held)
	}
	return max(lease, o.MinHold-held, 0)
}

// wholeMillis is d in whole milliseconds, rounded up: never 0 unless d is.
func wholeMillis(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
