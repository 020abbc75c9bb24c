package cache

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"holdfast/internal/blocking"
)

// Options configure a Cache. The zero value is a good one. Durations that go to the
// server are rounded up to whole milliseconds.
type Options struct {
	// Codec turns values into bytes and back. Defaults to JSON.
	Codec Codec

	// Jitter is the greatest share of TTL by which a value lives shorter, at random, so
	// that values stored together do not expire together. Negative switches it off.
	// Defaults to 0.1.
	Jitter float64

	// Lease is how long other processes wait for a loader whose process died. It is
	// renewed while a load runs. Defaults to 3 seconds.
	Lease time.Duration

	// LoadBackoff is how long nobody loads a key again after a load of it failed, while
	// there is an old value to answer with (see StaleOnError and RefreshAhead). A key
	// without an old value is loaded at the next call. Negative switches it off.
	// Defaults to 1 second.
	LoadBackoff time.Duration

	// LoadTimeout bounds a load: its context ends then, and calls that wait for it
	// return [ErrLoadTimeout]. Defaults to one minute.
	LoadTimeout time.Duration

	// Logger is told when Redis stops answering and when it answers again, and of
	// failures that no caller sees, such as a failed refresh. Defaults to
	// slog.Default().
	Logger *slog.Logger

	// MaxLoads is how many loads may run at a time in this process while Redis does not
	// answer and so nobody coordinates processes. Further loads wait for their turn.
	// Defaults to 100.
	MaxLoads int

	// Near keeps values in the process's own memory too. Defaults to off.
	Near NearOptions

	// NegativeTTL is how long the cache remembers that there is no value, after a loader
	// returned ErrNotFound. Defaults to 10 seconds.
	NegativeTTL time.Duration

	// OnInvalidateError is called when Invalidate gives up on keys: their old values may
	// still be answered until their TTL ends. Queue the keys there to try again later.
	// It runs before Invalidate returns. Defaults to none.
	OnInvalidateError func(keys []string, err error)

	// Outage is how long Set and Invalidate go on trying while Redis does not answer,
	// unless their context ends sooner. Defaults to 1 second.
	Outage time.Duration

	// Prefix is put before each key, as it is, so that caches of different types do not
	// meet in one key. No prefix may be the beginning of another: end each with a
	// separator that keys do not contain, such as "user:". Defaults to "".
	Prefix string

	// RefreshAhead is how long before a value expires one caller loads it again in the
	// background, while all callers still get the old one. Less than TTL. Defaults to 0:
	// a value is loaded when it is gone.
	RefreshAhead time.Duration

	// StaleOnError is how long beyond TTL a value is kept for the case that loading
	// fails. After TTL one caller in all processes loads; it gets the old value if the
	// load fails or takes longer than a second. The other callers get the old value at
	// once. Defaults to 0.
	StaleOnError time.Duration

	// TTL is how long a value lives. A loader can say otherwise for its value: [SetTTL].
	// Defaults to one minute.
	TTL time.Duration

	// Timeout is how long Redis may take to answer. A call that got no answer by then
	// loads its value without Redis. It does not bound a load, nor the time spent
	// waiting for a load elsewhere. Defaults to half a second.
	Timeout time.Duration
}

// Validate reports what is wrong with the options. New panics with this error; call
// Validate first where options come from a configuration file.
func (o Options) Validate() error {
	err := blocking.NotNegative(
		blocking.Option{Name: "Lease", Value: int64(o.Lease)},
		blocking.Option{Name: "LoadTimeout", Value: int64(o.LoadTimeout)},
		blocking.Option{Name: "MaxLoads", Value: int64(o.MaxLoads)},
		blocking.Option{Name: "Near.MaxAge", Value: int64(o.Near.MaxAge)},
		blocking.Option{Name: "Near.MaxBytes", Value: o.Near.MaxBytes},
		blocking.Option{Name: "Near.Size", Value: int64(o.Near.Size)},
		blocking.Option{Name: "NegativeTTL", Value: int64(o.NegativeTTL)},
		blocking.Option{Name: "Outage", Value: int64(o.Outage)},
		blocking.Option{Name: "RefreshAhead", Value: int64(o.RefreshAhead)},
		blocking.Option{Name: "StaleOnError", Value: int64(o.StaleOnError)},
		blocking.Option{Name: "TTL", Value: int64(o.TTL)},
		blocking.Option{Name: "Timeout", Value: int64(o.Timeout)},
	)
	switch ttl := o.withDefaults().TTL; {
	case err != nil:
	case !(o.Jitter <= 1):
		err = fmt.Errorf("the option Jitter is %v: it is a share of TTL, 1 at most", o.Jitter)
	case o.RefreshAhead >= ttl && o.RefreshAhead > 0:
		err = fmt.Errorf("the option RefreshAhead is %v: it must be less than TTL, which is %v", o.RefreshAhead, ttl)
	case o.Near.Prefix != "" && !o.Near.on():
		err = errors.New("the option Near.Prefix is set, but neither Near.Size nor Near.MaxBytes: nothing would be near")
	}
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Codec == nil {
		o.Codec = JSON
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Jitter = max(cmp.Or(o.Jitter, 0.1), 0)
	o.Lease = cmp.Or(o.Lease, 3*time.Second)
	o.LoadBackoff = max(cmp.Or(o.LoadBackoff, time.Second), 0)
	o.LoadTimeout = cmp.Or(o.LoadTimeout, time.Minute)
	o.MaxLoads = cmp.Or(o.MaxLoads, 100)
	o.Near.MaxAge = cmp.Or(o.Near.MaxAge, 10*time.Second)
	o.NegativeTTL = cmp.Or(o.NegativeTTL, 10*time.Second)
	o.Outage = cmp.Or(o.Outage, time.Second)
	o.TTL = cmp.Or(o.TTL, time.Minute)
	o.Timeout = cmp.Or(o.Timeout, 500*time.Millisecond)
	return o
}

// early is how long before the end of its life on the server a value is due to be
// loaded again.
func (o *Options) early() time.Duration { return o.RefreshAhead + o.StaleOnError }

// lifetime is how long the server keeps a value with this TTL that is stored now, in
// milliseconds.
func (o *Options) lifetime(ttl time.Duration) int64 {
	if most := time.Duration(float64(ttl) * o.Jitter); most > 0 {
		ttl -= rand.N(most + 1)
	}
	return blocking.Millis(ttl + o.StaleOnError)
}
