package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

const (
	// pingEvery is how often a tracking connection is checked.
	pingEvery = time.Second
	// maxSilence is how long a tracking connection may leave a PING unanswered. It
	// bounds how outdated a near value can be when the network loses a report.
	maxSilence = 3 * pingEvery
	// retireAfter is how long a tracking connection is kept that nothing is asked of,
	// if no value that came by it may still be near.
	retireAfter = time.Minute
)

// tracker is the connection to one server that reports what has changed there, and
// reads the values that become near. Values and reports come by the same connection,
// so a value is always from the server that reports its changes, whichever server is
// the primary meanwhile.
type tracker[T any] struct {
	c    *Cache[T]
	node *redis.Options

	freshAt atomic.Int64 // all changes before this time have been reported
	asked   atomic.Int64 // when a value was last asked for

	mu      sync.Mutex
	stream  *blocking.Stream  // nil while it is not connected
	pending []func(reply any) // what awaits a reply, in order; gets errLost if none comes
}

// errLost is given for a reply where the connection broke first.
var errLost = errors.New("the tracking connection broke")

// isFresh reports whether the server had the time to report what has changed.
func (t *tracker[T]) isFresh(now time.Duration) bool {
	return now-time.Duration(t.freshAt.Load()) <= maxSilence
}

// isUnused reports whether nothing was asked for so long that nothing is near any more.
func (t *tracker[T]) isUnused(now time.Duration) bool {
	return now-time.Duration(t.asked.Load()) > t.c.retireAt
}

// trackerOf returns the tracker of a key's server, and starts it at the first call.
func (c *Cache[T]) trackerOf(ctx context.Context, key string) *tracker[T] {
	node, err := c.conns.Node(ctx, c.redisKey(key))
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.trackers[node.Addr]
	if t == nil && !c.closed {
		t = &tracker[T]{c: c, node: node}
		t.asked.Store(int64(c.near.now()))
		c.trackers[node.Addr] = t
		c.work.Go(t.run)
	}
	return t
}

// send sends commands if the connection is up. Each reply is given to one function of
// deliver, on the goroutine that reads.
func (t *tracker[T]) send(deliver []func(reply any), commands ...[]any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stream == nil {
		return false
	}
	t.pending = append(t.pending, deliver...)
	if t.stream.Write(pingEvery, commands...) != nil {
		t.stream.Close() // the reader then delivers errLost to all
	}
	return true
}

func (t *tracker[T]) disconnect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stream != nil {
		t.stream.Close()
	}
}

// run keeps the connection up until nobody has used it for long.
func (t *tracker[T]) run() {
	c := t.c
	var backoff blocking.Backoff
	logged := false
	for c.ctx.Err() == nil {
		stream, err := t.connect()
		if err == nil {
			if logged {
				logged = false
				c.o.Logger.Info("cache: values are kept near again", "server", t.node.Addr)
			}
			began := time.Now()
			err = t.serve(stream)
			if time.Since(began) > maxSilence {
				backoff = blocking.Backoff{}
			}
		}
		if c.ctx.Err() != nil || t.retire() {
			return
		}
		if !logged {
			logged = true
			c.o.Logger.Warn("cache: values are not kept near: the server does not report what changes", "server", t.node.Addr, "error", err)
		}
		if blocking.Refused(err) && !blocking.Passes(err) { // it will refuse for long
			pause(c.ctx, 10*pingEvery+rand.N(pingEvery))
			continue
		}
		backoff.Pause(c.ctx, time.Hour)
	}
}

// retire removes the tracker if nobody uses it; the next call makes another one.
func (t *tracker[T]) retire() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if !t.isUnused(t.c.near.now()) {
		return false
	}
	delete(t.c.trackers, t.node.Addr)
	return true
}

// connect connects and asks for reports of changes.
func (t *tracker[T]) connect() (*blocking.Stream, error) {
	c := t.c
	command := []any{"CLIENT", "TRACKING", "ON", "BCAST"}
	if prefix := c.o.Prefix + c.o.Near.Prefix; prefix != "" {
		command = append(command, "PREFIX", prefix)
	}
	now := c.near.now()
	stream, err := c.conns.Stream(c.ctx, t.node, command...)
	if err == nil {
		t.freshAt.Store(int64(now))
	}
	return stream, err
}

// serve reads from the connection until it breaks. No value is near before or after.
func (t *tracker[T]) serve(stream *blocking.Stream) error {
	c := t.c
	ctx, cancel := context.WithCancel(c.ctx)
	stop := context.AfterFunc(ctx, stream.Close)
	var pings sync.WaitGroup
	pings.Go(func() { t.ping(ctx, stream) })
	t.mu.Lock()
	t.stream = stream
	t.mu.Unlock()

	err := t.read(stream)
	if !t.isFresh(c.near.now()) {
		err = fmt.Errorf("the server did not answer for %v", maxSilence)
	}

	t.mu.Lock()
	t.stream = nil
	pending := t.pending
	t.pending = nil
	t.mu.Unlock()
	c.near.clear() // before any reply is delivered, or a value asked for otherwise
	for _, deliver := range pending {
		deliver(errLost)
	}
	cancel()
	if stop() {
		stream.Close()
	}
	pings.Wait()
	return err
}
