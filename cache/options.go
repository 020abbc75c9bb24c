package cache

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"holdfast/internal/blocking"
)

// Options are how values are kept and loaded. The zero value is a good one.
type Options struct {
	// Codec turns values into bytes and back. Defaults to JSON.
	Codec Codec

	// Jitter is by which share of TTL, at most, a value lives shorter, by chance, so
	// that values stored together do not expire together. Negative is none.
	// Defaults to 0.1.
	Jitter float64

	// Lease is for how long a loader that vanished keeps the others waiting, in
	// whole milliseconds. It is renewed while a load runs. Defaults to 3 seconds.
	Lease time.Duration

	// LoadTimeout bounds a load: then its context ends. Defaults to one minute.
	LoadTimeout time.Duration

	// Logger is told when Redis ceases to answer, when it answers again, and of what
	// failed without any caller learning of it. Defaults to slog.Default().
	Logger *slog.Logger

	// MaxLoads is how many loads may run at a time in this process while Redis does
	// not answer. Defaults to 10.
	MaxLoads int

	// Near is how values are kept in the process's own memory as well. Defaults to not
	// at all.
	Near NearOptions

	// NegativeTTL is how long it is remembered that there is no value, after a loader
	// returned ErrNotFound; in whole milliseconds. Defaults to 10 seconds.
	NegativeTTL time.Duration

	// RefreshAhead is how long before its end of life a value is loaded anew, by one
	// caller's doing and in the background, while all go on getting it. Defaults to 0:
	// it is loaded when it is gone.
	RefreshAhead time.Duration

	// StaleOnError is for how long beyond TTL a value is kept, to be answered with
	// where loading it anew fails; and, while one caller waits for that load, to the
	// others. Defaults to 0.
	StaleOnError time.Duration

	// TTL is how long a value lives, in whole milliseconds. Defaults to one minute.
	TTL time.Duration
}

// filled is the options with what they default to.
func (o Options) filled() (Options, error) {
	err := blocking.NotNegative(
		blocking.Option{Name: "Lease", Value: int64(o.Lease)},
		blocking.Option{Name: "LoadTimeout", Value: int64(o.LoadTimeout)},
		blocking.Option{Name: "NegativeTTL", Value: int64(o.NegativeTTL)},
		blocking.Option{Name: "Near.MaxAge", Value: int64(o.Near.MaxAge)},
		blocking.Option{Name: "RefreshAhead", Value: int64(o.RefreshAhead)},
		blocking.Option{Name: "StaleOnError", Value: int64(o.StaleOnError)},
		blocking.Option{Name: "TTL", Value: int64(o.TTL)},
		blocking.Option{Name: "MaxLoads", Value: int64(o.MaxLoads)},
		blocking.Option{Name: "Near.Size", Value: int64(o.Near.Size)},
	)
	if o.Jitter > 1 {
		err = fmt.Errorf("the option Jitter is %v: it is a share of TTL, 1 at most", o.Jitter)
	}
	if err != nil {
		return o, fmt.Errorf("cache: %w", err)
	}
	if o.Codec == nil {
		o.Codec = JSON
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Jitter = max(cmp.Or(o.Jitter, 0.1), 0)
	o.Lease = cmp.Or(o.Lease, 3*time.Second)
	o.LoadTimeout = cmp.Or(o.LoadTimeout, time.Minute)
	o.MaxLoads = cmp.Or(o.MaxLoads, 10)
	o.Near.MaxAge = cmp.Or(o.Near.MaxAge, 10*time.Second)
	o.NegativeTTL = cmp.Or(o.NegativeTTL, 10*time.Second)
	o.TTL = cmp.Or(o.TTL, time.Minute)
	return o, nil
}

// lifetime is how long the server keeps a value that is stored now.
func (o *Options) lifetime() int64 {
	ttl := o.TTL
	if most := time.Duration(float64(ttl) * o.Jitter); most > 0 {
		ttl -= rand.N(most + 1)
	}
	return blocking.Millis(ttl + o.StaleOnError)
}
