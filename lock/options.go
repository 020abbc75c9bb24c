package lock

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"holdfast/internal/blocking"
)

// Options are how locks are taken. The zero value is a good one.
type Options struct {
	// Lease is how long a lock outlives a holder that vanished, in whole
	// milliseconds. It is renewed at each third of it. The server bounds it by
	// distlock.max-ttl-ms. Defaults to 30 seconds.
	Lease time.Duration

	// Limit is how many may hold a lock together, which makes it a semaphore.
	// Defaults to 1.
	Limit int

	// Meta is what LOCK.INFO tells of a holder, for who wonders who it is.
	// Defaults to program, host and process id.
	Meta string

	// Outage is how long Acquire and Release try again while the server cannot be
	// reached, starts or is failed over, before they return the error. Waiting for
	// a lock that is held is no outage. Defaults to 30 seconds.
	Outage time.Duration

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

// Limit sets [Options.Limit]. All who take the same semaphore must give the same.
func Limit(n int) Option { return func(o *Options) { o.Limit = n } }

// Session sets [Options.Session].
func Session() Option { return func(o *Options) { o.Session = true } }

// Shared sets [Options.Shared].
func Shared() Option { return func(o *Options) { o.Shared = true } }

// WithReplicas sets [Options.Replicas] and [Options.ReplicasTimeout].
func WithReplicas(n int, timeout time.Duration) Option {
	return func(o *Options) { o.Replicas, o.ReplicasTimeout = n, timeout }
}

// filled is the options with what they default to.
func (o Options) filled() (Options, error) {
	err := blocking.NotNegative(
		blocking.Option{Name: "Lease", Value: int64(o.Lease)},
		blocking.Option{Name: "Outage", Value: int64(o.Outage)},
		blocking.Option{Name: "ReplicasTimeout", Value: int64(o.ReplicasTimeout)},
		blocking.Option{Name: "Limit", Value: int64(o.Limit)},
		blocking.Option{Name: "Replicas", Value: int64(o.Replicas)},
	)
	if o.Shared && o.Limit > 0 {
		err = fmt.Errorf("a lock that is Shared has no Limit (%d): choose one", o.Limit)
	}
	if err != nil {
		return o, fmt.Errorf("lock: %w", err)
	}
	o.Lease = cmp.Or(whole(o.Lease), 30*time.Second)
	o.Outage = cmp.Or(o.Outage, 30*time.Second)
	o.ReplicasTimeout = cmp.Or(whole(o.ReplicasTimeout), time.Second)
	if o.Meta == "" {
		host, _ := os.Hostname()
		o.Meta = fmt.Sprintf("%s@%s:%d", filepath.Base(os.Args[0]), host, os.Getpid())
	}
	return o, nil
}

// whole is d in whole milliseconds, rounded up: never 0 unless d is.
func whole(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
