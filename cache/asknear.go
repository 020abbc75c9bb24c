package cache

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

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
		k.left -= c.o.early()
	case "ABSENT":
	default: // about to be replaced
		return
	}
	if k.left > 0 {
		until := k.asked + min(k.left, c.o.Near.MaxAge)
		c.near.put(&entry[T]{key: f.key, value: f.value, err: f.err, until: until, from: k.from}, k.mark)
	}
}
