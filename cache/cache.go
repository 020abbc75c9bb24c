package cache

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Cache keeps values of one type in Redis. It is safe for concurrent use; one per type
// is enough for a process.
type Cache[T any] struct {
	rdb   redis.UniversalClient
	o     Options
	conns *blocking.Pool
	stats stats

	ctx     context.Context // ends with Close
	cancel  context.CancelCauseFunc
	work    sync.WaitGroup // goroutines of the cache; each ends within the client's timeouts
	loaders sync.WaitGroup // goroutines that run a loader of the user's

	mu         sync.Mutex
	closed     bool
	flights    map[string]*flight[T]
	spare      sync.Pool       // flights that can be used again
	asks       chan *flight[T] // read by idle askers
	idle       atomic.Int32    // askers that wait for a flight
	connecting atomic.Bool     // a connection for askHere is being made
	connected  atomic.Bool     // one has been made, so a cluster's slots are known

	servers     map[string]*server // those that did not answer lately, by address
	down        atomic.Int32       // how many of them are down
	withoutSlot chan struct{}      // a slot for each load that may run while Redis is down

	fetchArgs   []any        // CACHE.FETCH as it is always sent; the key is filled in
	emptyValues bool         // the codec has a value that is the empty string
	getFirst    bool         // CACHE.GET may be asked before CACHE.FETCH
	hitsInARow  atomic.Int32 // answers to CACHE.FETCH without a miss between them

	near     *near[T]               // nil if Options.Near is off
	trackers map[string]*tracker[T] // by server address
	retireAt time.Duration          // an unused tracker closes after this
}

// New returns a cache over rdb: a *redis.Client (of one server or by Sentinel), a
// *redis.ClusterClient or a *redis.Ring. While a server of a ring is away, another
// server has its keys; a value that was invalidated there comes back with the first
// server, until its TTL is over. New connects to nothing. It panics with the error of
// [Options.Validate] if that is not nil. Close the cache before rdb.
func New[T any](rdb redis.UniversalClient, options Options) *Cache[T] {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	c := &Cache[T]{rdb: rdb, o: options.withDefaults(), conns: blocking.NewPool(rdb), flights: map[string]*flight[T]{}}
	c.asks = make(chan *flight[T])
	c.withoutSlot = make(chan struct{}, c.o.MaxLoads)
	c.fetchArgs = c.o.fetchArgs()
	c.emptyValues = decodesEmpty[T](c.o.Codec)
	c.getFirst = c.o.early() == 0 && readsPrimaries(rdb)
	if c.o.Near.on() {
		c.near, c.trackers = newNear[T](c.o.Near), map[string]*tracker[T]{}
		c.retireAt = max(retireAfter, c.o.Near.MaxAge)
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// redisKey is the key in Redis of a caller's key.
func (c *Cache[T]) redisKey(key string) string {
	if c.o.Prefix == "" {
		return key
	}
	return c.o.Prefix + key
}

// spawn runs f in a goroutine of the cache. It reports false, and runs nothing, after
// Close.
func (c *Cache[T]) spawn(f func()) bool { return c.spawnIn(&c.work, f) }

func (c *Cache[T]) spawnIn(group *sync.WaitGroup, f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	group.Go(f)
	return true
}

// closeTimeout bounds how long Close waits for what still waits for Redis.
const closeTimeout = 2 * time.Second

// Close ends all calls with [ErrClosed], within Options.Timeout where Redis is silent,
// and cancels all loads. It waits for loaders, however long they take to return, and at
// most two seconds for commands that Redis does not answer: a command that is still on
// its way then is an error. Close leaves the go-redis client open. It may be called
// again.
func (c *Cache[T]) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.flights {
		if f.asked.CompareAndSwap(asking, abandoned) {
			c.finishLocked(f, f.value, failed("fetch", f.key, ErrClosed), isError)
		}
	}
	c.mu.Unlock()
	if c.near != nil {
		c.near.close()
	}
	c.cancel(ErrClosed)
	c.loaders.Wait()
	ended := make(chan struct{})
	go func() {
		c.work.Wait()
		c.conns.Close()
		close(ended)
	}()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
		return nil
	case <-timeout.C:
		return fmt.Errorf("cache: close: Redis did not answer within %v; what was asked of it ends with the client's own timeouts", closeTimeout)
	}
}
