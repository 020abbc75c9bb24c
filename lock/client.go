package lock

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Client takes locks on the server or cluster of a go-redis client. One is
// enough for a process, for goroutines share what it holds: make it once.
type Client struct {
	base  Options
	err   error // of the options, told by whoever takes a lock
	conns *blocking.Pool

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // every goroutine of the client

	mu     sync.Mutex
	closed bool
	lines  map[request]*line
	held   map[*Lock]struct{}
	heldAt time.Time // when a lock was last found held by others
}

// request is what is asked of the server: who asks the same stands in one line.
type request struct {
	name string
	Options
}

var errRing = errors.New("lock: a *redis.Ring sends a lock to another server when its own is away, and two would hold it: take a *redis.Client of one server, or a *redis.ClusterClient")

// New returns a client over rdb: a *redis.Client (of one server or by Sentinel) or
// a *redis.ClusterClient. A *redis.Ring is refused, by all that takes a lock: while
// a server of it is away for one process, others may hold its locks, and this one
// would be sent to another server and get them too. The client connects when it is
// used. Close it when done, before rdb.
func New(rdb redis.UniversalClient, options Options) *Client {
	c := &Client{conns: blocking.NewPool(rdb), lines: map[request]*line{}, held: map[*Lock]struct{}{}}
	c.base, c.err = options.filled()
	if _, ring := rdb.(*redis.Ring); ring {
		c.err = errRing
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Acquire takes a lock, and waits for it if others hold it: first come, first
// served, over all processes, one of each at a time. ctx bounds the wait alone;
// the lock goes on when it ends. Release the lock when done.
func (c *Client) Acquire(ctx context.Context, name string, options ...Option) (*Lock, error) {
	r, err := c.request(name, options)
	if err != nil {
		return nil, err
	}
	l, err := c.take(ctx, r)
	if err != nil {
		return nil, failed("acquire", name, err)
	}
	l.begin(ctx)
	return l, nil
}

// TryAcquire takes a lock if it is free and nobody waits for it. If not, the
// error is [ErrHeld].
func (c *Client) TryAcquire(ctx context.Context, name string, options ...Option) (*Lock, error) {
	r, err := c.request(name, options)
	if err != nil {
		return nil, err
	}
	l, err := c.try(ctx, r)
	if err != nil {
		return nil, failed("try", name, err)
	}
	l.begin(ctx)
	return l, nil
}

// WithLock runs f while it holds a lock, for which it waits. f's context is the
// lock's, see [Lock.Context], and ends also when ctx does; [FromContext] finds the
// lock in it. The error is f's, joined with [ErrLost] if the lock was lost
// meanwhile.
func (c *Client) WithLock(ctx context.Context, name string, f func(ctx context.Context) error, options ...Option) (err error) {
	l, err := c.Acquire(ctx, name, options...)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	defer func() {
		stop()
		if rerr := l.Release(ctx); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}()
	return f(l.Context())
}

// Close ends all waits with [ErrClosed], cancels the contexts of the locks that
// are held and renews them no more: those that nobody releases run out with
// their leases, so that none is another's while its work may still run (those of
// a session are freed at once). It leaves the go-redis client open, and waits for all the goroutines it started.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	held := make([]*Lock, 0, len(c.held))
	for l := range c.held {
		held = append(held, l)
	}
	c.mu.Unlock()
	c.cancel(ErrClosed)
	for _, l := range held {
		l.end(ErrClosed)
	}
	c.work.Wait()
	c.conns.Close()
	return nil
}

func (c *Client) request(name string, options []Option) (request, error) {
	if c.err != nil {
		return request{}, c.err
	}
	o := c.base
	var err error
	if len(options) > 0 {
		for _, set := range options {
			set(&o)
		}
		o, err = o.filled()
	}
	if err == nil && name == "" {
		err = errors.New("lock: a lock needs a name")
	}
	return request{name, o}, err
}

// spawn runs f in a goroutine that Close waits for, or not at all after Close.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spawnLocked(f)
}

func (c *Client) spawnLocked(f func()) bool {
	if c.closed {
		return false
	}
	c.work.Go(f)
	return true
}
