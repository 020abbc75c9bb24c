package cache

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// answerToKeep says what allows an answer to be kept near. Without a tracker nothing
// does.
type answerToKeep[T any] struct {
	from    *tracker[T]
	version uint64
	asked   time.Duration
	left    time.Duration // of its life on the server when it was asked for; 0 is none
}

// askNear asks for a key over the connection that reports its changes. It reports
// false where there is none, or the answer is of no use: ask otherwise then.
func (c *Cache[T]) askNear(ctx context.Context, key string) (a answer, k answerToKeep[T], ok bool) {
	if c.near == nil {
		return a, k, false
	}
	wait := c.sendNear(ctx, key)
	if wait == nil {
		return a, k, false
	}
	return wait()
}

// sendNear sends the question of askNear and returns what waits for its answer, or nil
// where there is no connection.
func (c *Cache[T]) sendNear(ctx context.Context, key string) (wait func() (answer, answerToKeep[T], bool)) {
	if !strings.HasPrefix(key, c.o.Near.Prefix) {
		return nil
	}
	t := c.trackerOf(ctx, key)
	if t == nil {
		return nil
	}
	k := answerToKeep[T]{from: t, version: c.near.version(key), asked: c.near.now()}
	t.asked.Store(int64(k.asked))
	var fetched, left any
	done := make(chan struct{})
	if !t.send([]func(any){
		func(reply any) { fetched = reply },
		func(reply any) { left = reply; close(done) },
	}, c.fetchCommand(key), []any{"PTTL", c.redisKey(key)}) {
		return nil
	}
	return func() (answer, answerToKeep[T], bool) {
		<-done
		a, err := parse(fetched)
		if err != nil {
			if e, said := fetched.(blocking.ServerError); said && redis.HasErrorPrefix(e, "READONLY") {
				t.disconnect() // the server is no primary any more
			}
			return a, answerToKeep[T]{}, false
		}
		switch ms, _ := left.(int64); {
		case ms == -1: // no expiry
			k.left = math.MaxInt64
		case ms > 0:
			k.left = time.Duration(ms) * time.Millisecond
		}
		return a, k, true
	}
}

// keep keeps near the value, or the absence, that an answer gave its flight. It ends
// with its life on the server, or when it is due to be loaded again.
func (c *Cache[T]) keep(f *flight[T], a answer, k answerToKeep[T]) {
	if k.from == nil {
		return
	}
	switch a.status {
	case "HIT":
		k.left -= c.o.early()
	case "ABSENT":
	default: // about to be replaced
		return
	}
	if k.left > 0 {
		until := k.asked + min(k.left, c.o.Near.MaxAge)
		c.near.put(&entry[T]{key: f.key, value: f.value, err: f.err, until: until, from: k.from, bytes: int64(len(a.value))}, k.version)
	}
}
