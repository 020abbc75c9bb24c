package cache

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/blocking"
)

// read reads replies and reports of changes in the order in which the server sent
// them, until the connection breaks.
func (t *tracker[T]) read(stream *blocking.Stream) error {
	for {
		value, push, err := stream.Read()
		if err != nil {
			return err
		}
		if push {
			t.forget(value)
			continue
		}
		t.mu.Lock()
		if len(t.pending) == 0 {
			t.mu.Unlock()
			return fmt.Errorf("the server answered %v to no command", value)
		}
		deliver := t.pending[0]
		t.pending = t.pending[1:]
		t.mu.Unlock()
		deliver(value)
	}
}

// forget drops what the server reports as changed.
func (t *tracker[T]) forget(push any) {
	parts, _ := push.([]any)
	if len(parts) != 2 || parts[0] != "invalidate" {
		return
	}
	keys, some := parts[1].([]any)
	if !some { // FLUSHALL or FLUSHDB
		t.c.near.clear()
	}
	for _, key := range keys {
		if key, ok := key.(string); ok {
			t.c.near.drop(strings.TrimPrefix(key, t.c.o.Prefix))
		}
	}
}

// ping checks once a second that the connection works, and closes it if it does not or
// if nobody uses it.
func (t *tracker[T]) ping(ctx context.Context, stream *blocking.Stream) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	before := t.freshAt.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := t.c.near.now()
		if !t.isFresh(now) || t.isUnused(now) {
			stream.Close()
			return
		}
		// The server reports the changes of one turn of its event loop at the end of the
		// turn, after the reply to a PING of that turn. So a reply proves that all changes
		// before the previous PING have been reported, not those before its own.
		proved := before
		before = int64(now)
		t.send([]func(any){func(reply any) {
			if reply == "PONG" {
				t.freshAt.Store(proved)
			}
		}}, []any{"PING"})
	}
}
