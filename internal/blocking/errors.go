package blocking

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// command is one that go-redis never sends a second time: whether the first was
// carried out is for the caller to find out.
type command struct{ *redis.Cmd }

func (command) NoRetry() bool { return true }

// result is the command's reply, nil for a nil one.
func (c command) result() (any, error) {
	if err := c.Err(); !errors.Is(err, redis.Nil) {
		return c.Val(), err
	}
	return nil, nil
}

// send sends a command once and returns its reply, nil for a nil one.
func send(ctx context.Context, rdb interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}, args ...any) (any, error) {
	cmd := command{redis.NewCmd(ctx, args...)}
	_ = rdb.Process(ctx, cmd) // the command has its error
	return cmd.result()
}

// text is a command that answers a text.
type text struct{ *redis.StringCmd }

func (text) NoRetry() bool { return true }

// texts is a command that answers an array of texts.
type texts struct{ *redis.StringSliceCmd }

func (texts) NoRetry() bool { return true }

// Refused tells whether an error is the server's answer: then the command was
// not carried out. After other errors nobody knows.
func Refused(err error) bool {
	var e redis.Error
	return errors.As(err, &e)
}

// errUnsupported is the error of a client that says nothing of its servers.
var errUnsupported = errors.New("a client that gives no connection to wait on")

// passing are the first words of the server's errors that end by themselves.
var passing = []string{
	"ASK ", "BUSY ", "CLUSTERDOWN", "ERR max number of clients", "LOADING", "MASTERDOWN",
	"MOVED ", "NOREPLICAS", "READONLY", "TRYAGAIN", "UNBLOCKED",
}

// Passes tells whether a command may succeed if it is asked again a little
// later: the connection broke, the server starts, another is being promoted, a
// slot has moved.
func Passes(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, redis.ErrClosed), errors.Is(err, errUnsupported):
		return false
	case !Refused(err):
		return true
	}
	for _, word := range passing {
		if redis.HasErrorPrefix(err, word) || strings.HasPrefix(err.Error(), word) {
			return true
		}
	}
	return false
}

// Backoff spaces tries out: exponentially, with jitter, from 5 ms to half a
// second. Its zero value is ready.
type Backoff struct {
	next  time.Duration
	since time.Time
}

// Pause waits before the next try, and tells whether there is to be one: not
// when ctx ends, nor when they have failed for as long as outage.
func (b *Backoff) Pause(ctx context.Context, outage time.Duration) bool {
	if b.since.IsZero() {
		b.since, b.next = time.Now(), 5*time.Millisecond
	}
	if time.Since(b.since) >= outage {
		return false
	}
	d := b.next/2 + rand.N(b.next/2)
	b.next = min(2*b.next, 500*time.Millisecond)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Unsent tells whether an error says that the command cannot have reached a
// server: there was no connection.
func Unsent(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "dial"
}
