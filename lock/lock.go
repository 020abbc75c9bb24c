package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/blocking"
)

// Lock is a lock that is held. Its methods may be called by several goroutines.
type Lock struct {
	c     *Client
	req   request
	owner any // a text, as it stands in commands
	token int64
	conn  *blocking.Conn // of a session

	release []any // the command

	ctx    context.Context
	cancel context.CancelCauseFunc

	releasing sync.Mutex // held for as long as a release takes
	maybe     bool       // a release of a lease that was good is sent, and unanswered
	settled   bool       // the server has answered a release
	outcome   error      // what it said

	mu      sync.Mutex
	ended   bool
	sent    time.Time   // when the last request was sent that made or renewed the lease
	expiry  *time.Timer // from the first renewal on
	renewal *time.Timer
}

// Name is the lock's name.
func (l *Lock) Name() string { return l.req.name }

// Token is the lock's fencing token: greater than that of every lock granted
// before on this primary. Give it to the resource the lock protects, and let that
// refuse smaller ones than it has seen.
func (l *Lock) Token() int64 { return l.token }

// Context ends when the lock does, and [context.Cause] tells why: [ErrReleased],
// [ErrLost] or [ErrClosed]. It ends before the lease can have run out on the
// server: a twentieth of the lease before, counted by the monotonic clock from
// when the last renewal that succeeded was sent. It has the values of the context
// that the lock was acquired with, not its end.
func (l *Lock) Context() context.Context { return l.ctx }

// Release gives the lock back, and with it to the next in line. The lock's
// context ends first. The error is [ErrLost] if the lock was not held any more;
// any other means that nobody knows, and Release may be called again. After it
// succeeded it does nothing.
//
// A ctx that is over does not keep the lock from being released: then it is tried
// once. Release waits for the server, no longer than [Options.Outage].
func (l *Lock) Release(ctx context.Context) error {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	if l.settled {
		return l.outcome
	}
	l.end(ErrReleased)
	var backoff blocking.Backoff
	for {
		l.mu.Lock()
		mine := time.Now().Before(l.safeUntil())
		l.mu.Unlock()
		held, err := l.ask(context.WithoutCancel(ctx), l.release...)
		switch {
		case err == nil:
			// An earlier try whose reply was lost may be what released it, of this call
			// or of one before: it did, if the lease was good when it was sent.
			l.settled = true
			if l.conn != nil {
				l.conn.Close()
			}
			if !held && !l.maybe {
				l.outcome = failed("release", l.req.name, fmt.Errorf("%w: it was not held any more", ErrLost))
			}
			return l.outcome
		case !blocking.Passes(err):
			return failed("release", l.req.name, err)
		}
		l.maybe = l.maybe || mine && !blocking.Refused(err)
		if !backoff.Pause(ctx, l.req.Outage) {
			return failed("release", l.req.name, err)
		}
	}
}

// discard gives back a lock that nobody was given.
func (l *Lock) discard() {
	if l.conn != nil {
		l.conn.Close()
	}
	l.c.disown(l.req, l.release)
}

// end stops the renewals and ends the context.
func (l *Lock) end(cause error) {
	l.mu.Lock()
	first := !l.ended
	l.ended = true
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.renewal.Stop()
	l.mu.Unlock()
	l.cancel(cause)
	if first {
		l.c.mu.Lock()
		delete(l.c.held, l)
		l.c.mu.Unlock()
		// A release is sent before the session ends: else it would come too late.
		if l.conn != nil && !errors.Is(cause, ErrReleased) {
			l.conn.Close()
		}
	}
}

func (l *Lock) extend(ctx context.Context) (held bool, err error) {
	return l.ask(ctx, "LOCK.EXTEND", l.req.name, l.owner, l.req.Lease.Milliseconds())
}

// ask sends a command that answers whether the lock is held.
func (l *Lock) ask(ctx context.Context, args ...any) (held bool, err error) {
	reply, err := l.c.conns.Send(ctx, args...)
	return reply == int64(1), err
}

type contextKey struct{}

// FromContext is the lock whose context ctx is, or comes from; nil if there is none.
func FromContext(ctx context.Context) *Lock {
	l, _ := ctx.Value(contextKey{}).(*Lock)
	return l
}
