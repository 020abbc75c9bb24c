package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Cache keeps values of one type in Redis. One is enough for a process.
type Cache[T any] struct {
	rdb   redis.UniversalClient
	o     Options
	err   error // of the options, told by Fetch
	conns *blocking.Pool
	loads chan struct{} // slots of those that run without Redis
	fetch []any         // CACHE.FETCH as it is always sent, but for the key

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // every goroutine of the cache

	mu      sync.Mutex
	closed  bool
	flights map[string]*flight[T]
	outages map[string]*outage // by server
	down    atomic.Int32       // how many these are

	cheaply bool         // what is probably there can be asked for by CACHE.GET
	inARow  atomic.Int32 // values that were there when they were first asked for

	near     *near[T]               // nil if none is wanted
	trackers map[string]*tracker[T] // by server
	idle     time.Duration          // after which a tracker that is not asked retires
}

// New returns a cache over rdb: a *redis.Client (of one server or by Sentinel), a
// *redis.ClusterClient or a *redis.Ring. While a server of a ring is away, its keys
// are another's; what was invalidated there is back with it, until its TTL is over.
// Close the cache when done, before rdb.
func New[T any](rdb redis.UniversalClient, options Options) *Cache[T] {
	c := &Cache[T]{rdb: rdb, conns: blocking.NewPool(rdb), flights: map[string]*flight[T]{}}
	c.o, c.err = options.filled()
	c.loads = make(chan struct{}, max(c.o.MaxLoads, 1))
	c.fetch = c.o.command()
	c.cheaply = c.o.early() == 0 && primaries(rdb)
	if c.err == nil && c.o.Near.Size > 0 {
		c.near, c.trackers = newNear[T](c.o.Near.Size), map[string]*tracker[T]{}
		c.idle = max(idle, c.o.Near.MaxAge)
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Fetch returns the value of a key, and loads it if there is none: in one of all
// the callers that miss it at the time; the others get what that one got. load's
// context has the values of ctx, and ends after LoadTimeout or when nobody waits
// for it any more; nobody waits for a load that does not heed that. A panic of load is
// an error.
//
// The error is [ErrNotFound] if load said so, load's own if it failed here, and
// [ErrLoadFailed] if it failed in another process. That Redis does not answer is
// no error.
func (c *Cache[T]) Fetch(ctx context.Context, key string, load func(ctx context.Context) (T, error)) (T, error) {
	var none T
	if c.err != nil {
		return none, c.err
	}
	if err := ctx.Err(); err != nil {
		return none, failed("fetch", key, err)
	}
	if c.near != nil {
		if value, err, ok := c.near.get(key); ok {
			return value, err
		}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return none, failed("fetch", key, ErrClosed)
	}
	f := c.flights[key]
	if f == nil {
		f = &flight[T]{key: key, load: load, callers: 1}
		c.flights[key] = f
		c.mu.Unlock()
		if c.lead(ctx, f) {
			return f.value, f.err
		}
	} else {
		f.callers++
		f.wanted()
		c.mu.Unlock()
	}
	select {
	case <-f.done:
		return f.value, f.err
	default:
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		c.leave(f)
		return none, failed("fetch", key, ctx.Err())
	}
}

// Invalidate removes values, and sees to it that no load which began before stores
// what it read. A Fetch that begins after it returned gets a newer value.
func (c *Cache[T]) Invalidate(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		var backoff blocking.Backoff
		for {
			_, err := c.conns.Send(ctx, "CACHE.DEL", key)
			if err == nil {
				break
			}
			if !blocking.Passes(err) || !backoff.Pause(ctx, time.Second) {
				return failed("invalidate", key, err)
			}
		}
		if c.near != nil {
			c.near.drop(key)
		}
		c.mu.Lock()
		c.land(c.flights[key]) // who shares it began before
		c.mu.Unlock()
	}
	return nil
}

// Close ends all calls with [ErrClosed], calls the loads off, and waits for them (also
// for one that does not heed its context) and for all else it started. It leaves the go-redis client open.
func (c *Cache[T]) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if c.near != nil {
		c.near.close()
	}
	c.cancel(ErrClosed)
	c.work.Wait()
	c.conns.Close()
	return nil
}
