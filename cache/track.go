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
	// beat is how often a tracking connection is asked whether it is there.
	beat = time.Second
	// silence is for how long it may leave that unanswered. It bounds how outdated
	// what is near can be when the network swallows what the server says.
	silence = 3 * beat
	// idle is after how long, at least, a connection is given up that nothing was asked
	// of; not before all that came by it is too old to be near.
	idle = time.Minute
)

// tracker is one server's connection, which tells what changes there, and reads what
// is to be near. Reads and changes come by the same connection, so a value is from
// the server that tells of its changes, whoever is the primary meanwhile.
type tracker[T any] struct {
	c    *Cache[T]
	node *redis.Options

	answered atomic.Int64 // as of when all changes are known, since near's epoch
	asked    atomic.Int64 // when it was last asked for a value

	mu     sync.Mutex
	stream *blocking.Stream  // nil while it is not up
	sent   []func(reply any) // what awaits a reply, in order; errLost where none will come
}

// errLost is the reply where the connection broke first.
var errLost = errors.New("the tracking connection broke")

// fresh tells whether the server had the time to say what has changed.
func (t *tracker[T]) fresh(now time.Duration) bool {
	return now-time.Duration(t.answered.Load()) <= silence
}

// tracker is that of a key's server. It is made when it is first asked for.
func (c *Cache[T]) tracker(ctx context.Context, key string) *tracker[T] {
	node, err := c.conns.Node(ctx, key)
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

// send sends commands, if the connection is up; each reply is told to one of told, by
// the goroutine that reads.
func (t *tracker[T]) send(told []func(reply any), commands ...[]any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stream == nil {
		return false
	}
	t.sent = append(t.sent, told...)
	if t.stream.Write(beat, commands...) != nil {
		t.stream.Close() // and all is told that it is lost
	}
	return true
}

func (t *tracker[T]) hangUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stream != nil {
		t.stream.Close()
	}
}

// run keeps the connection up until nothing was asked of it for long.
func (t *tracker[T]) run() {
	c := t.c
	var backoff blocking.Backoff
	told := false
	for c.ctx.Err() == nil {
		stream, err := t.connect()
		if err == nil {
			if told {
				told = false
				c.o.Logger.Info("cache: values are kept near again", "server", t.node.Addr)
			}
			began := time.Now()
			err = t.follow(stream)
			if time.Since(began) > silence {
				backoff = blocking.Backoff{}
			}
		}
		if c.ctx.Err() != nil || t.retire() {
			return
		}
		if !told {
			told = true
			c.o.Logger.Warn("cache: values are not kept near: the server does not say what changes", "server", t.node.Addr, "error", err)
		}
		if blocking.Refused(err) && !blocking.Passes(err) { // it will not soon
			pause(c.ctx, 10*beat+rand.N(beat))
			continue
		}
		backoff.Pause(c.ctx, time.Hour)
	}
}

func (t *tracker[T]) deserted(now time.Duration) bool {
	return now-time.Duration(t.asked.Load()) > t.c.idle
}

// retire tells whether nothing was asked for so long that nothing is near any more;
// then the next to ask makes another tracker.
func (t *tracker[T]) retire() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if !t.deserted(t.c.near.now()) {
		return false
	}
	delete(t.c.trackers, t.node.Addr)
	return true
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// connect connects to be told what changes.
func (t *tracker[T]) connect() (*blocking.Stream, error) {
	c := t.c
	first := []any{"CLIENT", "TRACKING", "ON", "BCAST"}
	if c.o.Near.Prefix != "" {
		first = append(first, "PREFIX", c.o.Near.Prefix)
	}
	now := c.near.now()
	stream, err := c.conns.Stream(c.ctx, t.node, first...)
	if err == nil {
		t.answered.Store(int64(now))
	}
	return stream, err
}

// follow hears what changes until the connection breaks. Nothing is near before, and
// nothing after.
func (t *tracker[T]) follow(stream *blocking.Stream) error {
	c := t.c
	ctx, cancel := context.WithCancel(c.ctx)
	stop := context.AfterFunc(ctx, stream.Close)
	var beats sync.WaitGroup
	beats.Go(func() { t.beat(ctx, stream) })
	t.mu.Lock()
	t.stream = stream
	t.mu.Unlock()

	err := t.hear(stream)
	if !t.fresh(c.near.now()) {
		err = fmt.Errorf("it did not answer for %v", silence)
	}

	t.mu.Lock()
	t.stream = nil
	sent := t.sent
	t.sent = nil
	t.mu.Unlock()
	c.near.clear() // before anybody is told, or asks otherwise
	for _, told := range sent {
		told(errLost)
	}
	cancel()
	if stop() {
		stream.Close()
	}
	beats.Wait()
	return err
}
