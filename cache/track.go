package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
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
	sent   []func(reply any) // what awaits a reply, in order; nil is told when none will come
}

// lost is the reply where the connection broke first.
var lost = errors.New("the tracking connection broke")

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

// answerToKeep is what allows to keep an answer near.
type answerToKeep[T any] struct {
	from  *tracker[T]
	mark  uint64
	asked time.Duration // since near's epoch
	left  time.Duration // of its life on the server, from then on at least; 0 is none
}

// askNear asks for a key by the connection that tells of its changes. It is not ok
// where there is none, or the answer was no good: ask otherwise then.
func (c *Cache[T]) askNear(ctx context.Context, key string) (a answer, k answerToKeep[T], ok bool) {
	if c.near == nil || !strings.HasPrefix(key, c.o.Near.Prefix) {
		return a, k, false
	}
	t := c.tracker(ctx, key)
	if t == nil {
		return a, k, false
	}
	k.from, k.mark = t, c.near.mark(key)
	k.asked = c.near.now()
	t.asked.Store(int64(k.asked))
	var fetched, left any
	done := make(chan struct{})
	if !t.send([]func(any){
		func(reply any) { fetched = reply },
		func(reply any) { left = reply; close(done) },
	}, c.command(key), []any{"PTTL", key}) {
		return a, k, false
	}
	<-done
	a, err := parse(fetched)
	if err != nil {
		if e, said := fetched.(blocking.ServerError); said && redis.HasErrorPrefix(e, "READONLY") {
			t.hangUp() // it is no primary any more
		}
		return a, k, false
	}
	switch ms, _ := left.(int64); {
	case ms == -1: // it has no end
		k.left = math.MaxInt64
	case ms > 0:
		k.left = time.Duration(ms) * time.Millisecond
	}
	return a, k, true
}

// keep keeps near what an answer came to. It ends with its life on the server, or
// when it is to be loaded anew.
func (c *Cache[T]) keep(f *flight[T], a answer, k answerToKeep[T]) {
	switch a.status {
	case "HIT":
		k.left -= c.o.RefreshAhead + c.o.StaleOnError
	case "ABSENT":
	default: // about to be replaced
		return
	}
	if k.left > 0 {
		until := k.asked + min(k.left, c.o.Near.MaxAge)
		c.near.put(&entry[T]{key: f.key, value: f.value, err: f.err, until: until, from: k.from}, k.mark)
	}
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
		told(lost)
	}
	cancel()
	if stop() {
		stream.Close()
	}
	beats.Wait()
	return err
}

// hear reads replies and changes in the order in which the server sent them.
func (t *tracker[T]) hear(stream *blocking.Stream) error {
	for {
		value, push, err := stream.Read()
		if err != nil {
			return err
		}
		if push {
			t.changed(value)
			continue
		}
		t.mu.Lock()
		if len(t.sent) == 0 {
			t.mu.Unlock()
			return fmt.Errorf("the server answered %v to nothing", value)
		}
		told := t.sent[0]
		t.sent = t.sent[1:]
		t.mu.Unlock()
		told(value)
	}
}

// changed forgets what the server says has changed.
func (t *tracker[T]) changed(push any) {
	parts, _ := push.([]any)
	if len(parts) != 2 || parts[0] != "invalidate" {
		return
	}
	keys, some := parts[1].([]any)
	if !some { // FLUSHALL, FLUSHDB
		t.c.near.clear()
	}
	for _, key := range keys {
		if key, ok := key.(string); ok {
			t.c.near.drop(key)
		}
	}
}

// beat asks whether the connection is there, until it is not.
func (t *tracker[T]) beat(ctx context.Context, stream *blocking.Stream) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	before := t.answered.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := t.c.near.now()
		if !t.fresh(now) || t.deserted(now) {
			stream.Close()
			return
		}
		// What changes in one turn of the server's loop it says at the end of the turn,
		// behind a reply to a PING of that turn. So a reply vouches for the PING before.
		vouches := before
		before = int64(now)
		t.send([]func(any){func(reply any) {
			if reply == "PONG" {
				t.answered.Store(vouches)
			}
		}}, []any{"PING"})
	}
}
