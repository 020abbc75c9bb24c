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
	owner string
	token int64
	began time.Time       // when it was granted, or a little later
	conn  *blocking.Conn  // of a session
	ctx   context.Context // ends with the lock

	cancel  context.CancelCauseFunc
	release []any // the command

	releasing sync.Mutex // held for as long as a release takes
	doubtful  bool       // a release of a lease that was good is sent, and unanswered
	released  bool       // the server has answered a release
	outcome   error      // what it said

	mu      sync.Mutex
	ended   bool
	sent    time.Time     // when the last request was sent that made or renewed the lease
	lease   time.Duration // what that request asked for
	expiry  *time.Timer   // from the first renewal on
	renewal *time.Timer
}

// Name is the lock's name; of several that were taken at once, the first.
func (l *Lock) Name() string { return l.req.name }

// Names are the names of all locks that were taken at once.
func (l *Lock) Names() []string { return l.req.names() }

// Owner is the name under which the lock is held, as LOCK.INFO shows it.
func (l *Lock) Owner() string { return l.owner }

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
// Release waits for the server until ctx ends, [Options.Outage] is over, or the lease
// is, which releases the lock too. A ctx that is over already does not keep the lock from being
// released: it is tried once, for two seconds at most. A Release that gives up closes
// the connection of a session, which releases the lock too.
func (l *Lock) Release(ctx context.Context) error {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	if l.released {
		return l.outcome
	}
	l.end(ErrReleased)
	err := l.tryRelease(ctx)
	if l.conn != nil {
		l.conn.Close()
	}
	return err
}

func (l *Lock) tryRelease(ctx context.Context) error {
	command, names := l.release, int64(len(l.req.names()))
	if left := l.req.MinHold - time.Since(l.began); left > 0 {
		command, names = l.extension(left), 1
	}
	if ctx.Err() != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), blocking.CloseTimeout)
		defer cancel()
		ctx = bounded
	}
	l.mu.Lock()
	over, safe := l.sent.Add(l.lease), l.safeUntil()
	l.mu.Unlock()
	held := time.Now().Before(safe) // until Release was called
	var backoff blocking.Backoff
	for {
		good := time.Now().Before(safe)
		reply, err := l.c.conns.Do(ctx, max(min(tryTime, l.req.Lease/4), time.Millisecond), l.req.name, command...)
		switch {
		case err == nil:
			// An earlier try whose reply was lost may be what released it, of this call
			// or of one before: it did, if the lease was good when it was sent.
			l.released = true
			if reply != names && !l.doubtful {
				l.outcome = failed("release", l.req.name, fmt.Errorf("%w: it was not held any more", ErrLost))
			}
			return l.outcome
		case !blocking.Passes(err) && ctx.Err() == nil:
			return failed("release", l.req.name, err)
		}
		l.doubtful = l.doubtful || good && !blocking.Refused(err) && !blocking.Unsent(err)
		switch {
		case !time.Now().After(over):
			if !backoff.Pause(ctx, l.req.Outage) {
				return failed("release", l.req.name, err)
			}
		case held || l.doubtful: // the end of the lease released it
			l.released = true
			return nil
		default:
			return failed("release", l.req.name, fmt.Errorf("%w: its lease ran out: %w", ErrLost, err))
		}
	}
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
	if !first {
		return
	}
	l.c.mu.Lock()
	delete(l.c.held, l)
	l.c.mu.Unlock()
	// Release sends its command before the session ends: else it would come too late.
	if l.conn != nil && !errors.Is(cause, ErrReleased) {
		l.conn.Close()
	}
}

// extension is the command that sets the lease anew.
func (l *Lock) extension(lease time.Duration) []any {
	args := []any{"LOCK.EXTEND", l.req.name, l.owner, blocking.Millis(lease)}
	if l.req.Owner != "" { // which another lock may have, too
		args = append(args, "TOKEN", l.token)
	}
	return l.req.withAlso(args)
}

type contextKey struct{}

// FromContext is the lock whose context ctx is, or comes from; nil if there is none.
func FromContext(ctx context.Context) *Lock {
	l, _ := ctx.Value(contextKey{}).(*Lock)
	return l
}
