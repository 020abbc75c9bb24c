package lock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Client takes locks on the server or cluster of a go-redis client. One is
// enough for a process, for goroutines share what it holds: make it once.
type Client struct {
	base  Options
	conns *blocking.Pool
	owner string        // names this client; with a number behind it, one grant
	count atomic.Uint64 // the last of these numbers

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // every goroutine of the client

	mu          sync.Mutex
	closed      bool
	lines       map[request]*line
	held        map[*Lock]struct{}
	contendedAt time.Time // when a lock was last found held by others
}

// request is what is asked of the server. Callers that ask the same stand in one
// line.
type request struct {
	name string
	also string // further names, a zero byte between them
	pass bool   // a Limiter's: nothing renews or releases it
	Options
}

// names are all the names of a request.
func (r *request) names() []string {
	if r.also == "" {
		return []string{r.name}
	}
	return append([]string{r.name}, strings.Split(r.also, "\x00")...)
}

var errRing = errors.New("lock: a *redis.Ring sends a lock to another server when its own is away, and two would hold it: take a *redis.Client of one server, or a *redis.ClusterClient")

// New returns a client over rdb: a *redis.Client (of one server or by Sentinel) or
// a *redis.ClusterClient. The client connects when it is used, over connections of
// its own, made with rdb's options; their commands pass rdb's hooks. Close it when
// done, before rdb.
//
// New panics if the options are not valid, see [Options.Validate], and for a
// *redis.Ring: while a server of a ring is away for one process, that process would
// be sent to another server and get locks that others hold.
func New(rdb redis.UniversalClient, options Options) *Client {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	if _, ring := rdb.(*redis.Ring); ring {
		panic(errRing)
	}
	c := &Client{
		base: options.withDefaults(), conns: blocking.NewPool(rdb), owner: process() + "/" + rand.Text()[:12] + ".",
		lines: map[request]*line{}, held: map[*Lock]struct{}{},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// process names this process for who looks at the server.
func process() string {
	host, _ := os.Hostname()
	name := fmt.Sprintf("%s@%s:%d", filepath.Base(os.Args[0]), host, os.Getpid())
	return name[:min(len(name), 64)]
}

// Acquire takes a lock, and waits for it if others hold it: first come, first
// served, over all processes, one of each at a time. ctx bounds the wait alone;
// the lock goes on when it ends. Release the lock when done.
func (c *Client) Acquire(ctx context.Context, name string, options ...Option) (*Lock, error) {
	return c.acquire(ctx, []string{name}, options)
}

// AcquireAll takes several locks at once, all or none, and waits until all are free
// at the same time and it is first in each of their lines. Nothing is held while it
// waits, and no two callers can wait for each other, whatever the order of the names.
// While it waits, it keeps its place in all lines: who comes behind it in one of them
// waits too, although that lock may be free. In a cluster all names must be of one
// slot. The names must not have zero bytes.
func (c *Client) AcquireAll(ctx context.Context, names []string, options ...Option) (*Lock, error) {
	return c.acquire(ctx, names, options)
}

func (c *Client) acquire(ctx context.Context, names []string, options []Option) (*Lock, error) {
	r, err := c.request(names, options)
	if err != nil {
		return nil, err
	}
	l, err := c.take(ctx, r)
	if err != nil {
		return nil, failed("acquire", r.name, err)
	}
	l.begin(ctx)
	return l, nil
}

// TryAcquire takes a lock if it is free and nobody waits for it. If not, the
// error is [ErrHeld].
func (c *Client) TryAcquire(ctx context.Context, name string, options ...Option) (*Lock, error) {
	r, err := c.request([]string{name}, options)
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

// WithLock runs f while it holds a lock, for which it waits. f's context comes from
// ctx, and ends also when the lock does, see [Lock.Context]; [FromContext] finds the
// lock in it. The error is f's, joined with [ErrLost] if the lock was lost meanwhile,
// or [ErrClosed] if the client was closed.
func (c *Client) WithLock(ctx context.Context, name string, f func(ctx context.Context) error, options ...Option) (err error) {
	l, err := c.Acquire(ctx, name, options...)
	if err != nil {
		return err
	}
	inside, cancel := context.WithCancelCause(context.WithValue(ctx, contextKey{}, l))
	stop := context.AfterFunc(l.Context(), func() { cancel(context.Cause(l.Context())) })
	defer func() {
		stop()
		cancel(nil)
		if cause := context.Cause(l.Context()); cause != nil {
			err = errors.Join(err, cause)
			if rerr := l.Release(ctx); rerr != nil && !errors.Is(rerr, ErrLost) {
				err = errors.Join(err, rerr)
			}
			return
		}
		if rerr := l.Release(ctx); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}()
	return f(inside)
}

// Close ends all waits with [ErrClosed], cancels the contexts of the locks that
// are held and renews them no more: those that nobody releases run out with
// their leases, so that none is another's while its work may still run (those of
// a session are freed at once). It leaves the go-redis client open, and waits for
// the goroutines it started: a few seconds at most, while the server is silent.
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

func (c *Client) request(names []string, options []Option) (request, error) {
	o := c.base
	if len(options) > 0 {
		for _, set := range options {
			set(&o)
		}
		if err := o.Validate(); err != nil {
			return request{}, err
		}
		o = o.withDefaults()
	}
	if len(names) == 0 || names[0] == "" {
		return request{}, errors.New("lock: a lock needs a name")
	}
	for _, name := range names[1:] {
		if name == "" || strings.Contains(name, "\x00") {
			return request{}, fmt.Errorf("lock: %q cannot be taken with others", name)
		}
	}
	return request{name: names[0], also: strings.Join(names[1:], "\x00"), Options: o}, nil
}

// spawn runs f in a goroutine that Close waits for, or not at all after Close.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Go(f)
	return true
}
