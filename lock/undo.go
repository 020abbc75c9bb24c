package lock

import (
	"context"

	"holdfast/internal/blocking"
)

// giveBack gives back what may have been granted over a connection that has closed since.
// The channel is closed when that is over.
func (c *Client) giveBack(r *request, release []any) <-chan struct{} {
	name := r.name
	return c.undo(r, func() error {
		_, err := c.conns.Do(context.Background(), blocking.CloseTimeout, name, release...)
		return err
	})
}

// giveBackLate gives back what a request was granted after it was called off.
func (c *Client) giveBackLate(r request) func(reply any) {
	return func(reply any) {
		if token, _ := reply.(int64); token > 0 {
			c.giveBack(&r, r.release(token))
		}
	}
}

// giveBackLost gives back what a request may have been granted whose reply was lost. The
// owner may hold the lock otherwise, in another goroutine or process: the request's own
// META tells which grant is meant. The channel is closed when that is over.
func (c *Client) giveBackLost(r request, meta string) <-chan struct{} {
	return c.undo(&r, func() error {
		reply, err := c.conns.Do(context.Background(), blocking.CloseTimeout, r.name, "LOCK.INFO", r.name)
		for _, h := range blocking.FieldsOf(reply).Maps("holders") {
			if h.Text("owner") == r.Owner && h.Text("meta") == meta {
				_, err = c.conns.Do(context.Background(), blocking.CloseTimeout, r.name, r.release(h.Int("token"))...)
			}
		}
		return err
	})
}

// undo runs once in the background, again after errors that pass. What fails for longer
// than a lease is over by itself. The channel is closed when it has ended.
func (c *Client) undo(r *request, once func() error) <-chan struct{} {
	lease, ended := r.lease(0), make(chan struct{})
	again := func() {
		defer close(ended)
		var backoff blocking.Backoff
		for blocking.Passes(once()) && backoff.Pause(c.ctx, lease) {
		}
	}
	if !c.spawn(again) { // after Close, which waits only for what it knows of
		go func() { defer close(ended); _ = once() }()
	}
	return ended
}
