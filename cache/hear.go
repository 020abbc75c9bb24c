package cache

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

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
