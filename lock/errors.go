package lock

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrClosed is returned by a client after Close, and is the cause of the end
	// of the contexts of locks that were held then.
	ErrClosed = errors.New("the lock client is closed")

	// ErrDeadlock is returned to a caller that would wait for a lock whose owner waits,
	// perhaps through others, for what the caller's own owner holds. See
	// [Options.Owner].
	ErrDeadlock = errors.New("deadlock")

	// ErrHeld is returned by TryAcquire when others hold the lock, or wait for it.
	ErrHeld = errors.New("held by others")

	// ErrLost says that a lock was, or may have been, no longer held: its lease ran
	// out, somebody broke or deleted it, its session's connection closed, or the
	// server lost it.
	ErrLost = errors.New("lock lost")

	// ErrNotReplicated is returned when too few replicas confirmed a lock in time.
	// It was given back.
	ErrNotReplicated = errors.New("too few replicas confirmed the lock")

	// ErrQueueFull is returned when more wait for a lock than distlock.max-waiters.
	ErrQueueFull = errors.New("too many wait")

	// ErrReleased is the cause of the end of a released lock's context.
	ErrReleased = errors.New("lock released")

	// ErrStale is returned by the fencing helpers for a token that is smaller than
	// one that was there before: its lock has had another holder since.
	ErrStale = errors.New("stale fencing token")
)

// failed says what failed, and where it is known how to mend it.
func failed(what, name string, err error) error {
	hint := ""
	switch {
	case redis.HasErrorPrefix(err, "DEADLOCK"):
		err = fmt.Errorf("%w: %w", ErrDeadlock, err)
	case redis.HasErrorPrefix(err, "QUEUEFULL"):
		err = fmt.Errorf("%w: %w", ErrQueueFull, err)
	case redis.HasErrorPrefix(err, "unknown command"):
		hint = " (the server has not loaded the module distlock: try loadmodule …/distlock.so)"
	case redis.HasErrorPrefix(err, "NOPERM"):
		hint = " (the user may not do this: try ACL SETUSER <user> ~<name> +lock.acquire +lock.extend +lock.release)"
	}
	return fmt.Errorf("lock: %s %q: %w%s", what, name, err, hint)
}
