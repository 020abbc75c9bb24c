package lock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/blocking"
)

const (
	// tryTime bounds a command that does not wait.
	tryTime = 5 * time.Second

	// tryAgain is for how long TryAcquire asks again.
	tryAgain = time.Second

	// atOnce is how long the server takes to grant a lock that is free. A lock that
	// took longer was held.
	atOnce = time.Millisecond
)

// errLapsed says that a lock was granted and its lease ran out before this
// process came to know of it. It is asked for again.
var errLapsed = errors.New("the lease ran out before the lock could be used")

// attempt is one LOCK.ACQUIRE, and the connection that it was sent over.
type attempt struct {
	conn  *blocking.Conn
	owner string
	args  []any
	meta  string
	undo  []any // releases what it was granted; nil for an owner that may hold the lock otherwise
	sent  time.Time
}

// grant asks for a lock and waits for it until it has it, ctx or the client ends, or
// an error does not pass.
func (c *Client) grant(ctx context.Context, r request, l *line) (*Lock, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	var backoff blocking.Backoff
	for {
		lock, err := c.send(ctx, r, l)
		switch {
		case err == nil:
			return lock, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errLapsed):
			continue
		case !passes(err):
			return nil, err
		}
		c.conns.Forget(ctx)
		if !backoff.Pause(ctx, r.Outage) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, err
		}
	}
}

// try asks once whether a lock is free; again after an error that passes, for a
// moment, because a connection that was kept may have been closed.
func (c *Client) try(ctx context.Context, r request) (*Lock, error) {
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	var backoff blocking.Backoff
	for {
		l, err := c.send(ctx, r, nil)
		if err == nil || ctx.Err() != nil || !passes(err) {
			return l, err
		}
		c.conns.Forget(ctx)
		if !backoff.Pause(ctx, tryAgain) {
			return nil, err
		}
	}
}

// passes tells whether asking again may help.
func passes(err error) bool {
	return blocking.Passes(err) && !errors.Is(err, ErrHeld) && !errors.Is(err, ErrNotReplicated)
}

// send sends LOCK.ACQUIRE: one that waits on behalf of a line, or a try where there
// is none. What the server may have granted is given back unless send returns it.
func (c *Client) send(ctx context.Context, r request, l *line) (*Lock, error) {
	var a *attempt
	if l != nil {
		a = c.takeOver(l)
	}
	kept := a != nil
	if !kept {
		conn, _, err := c.conns.Get(ctx, r.name)
		if err != nil {
			return nil, err
		}
		a = c.attempt(&r, conn, l != nil)
	}
	a.conn.Late, a.conn.Keep = ignore, nil
	if a.undo == nil {
		a.conn.Late = c.giveBackLate(r)
	}
	within := tryTime
	if l != nil {
		within = 0
		a.conn.Keep = func() bool { return c.keeps(l, a) }
		a.conn.Waiting()
	}
	began := time.Now()
	var reply any
	var err error
	if kept {
		reply, err = a.conn.Resume(ctx, within, a.undo, a.args...)
	} else {
		a.sent = began
		reply, err = a.conn.Do(ctx, within, a.undo, a.args...)
	}
	a.conn.Keep = nil
	if l != nil && time.Since(began) > atOnce {
		c.contended()
	}
	if err != nil && l != nil && c.left(l, a) {
		return nil, err // the next caller goes on with it
	}
	token, ok := reply.(int64)
	switch {
	case err == nil && !ok:
		err = fmt.Errorf("lock: LOCK.ACQUIRE answered %v", reply)
		fallthrough
	case err != nil:
		a.conn.Close()
		if !blocking.Refused(err) && !blocking.Unsent(err) { // the reply is lost, and with it who holds the lock
			var given <-chan struct{}
			if a.undo != nil {
				given = c.giveBack(&r, a.undo)
			} else {
				given = c.giveBackLost(r, a.meta)
			}
			if l == nil { // the next try would take it for another's lock
				select {
				case <-given:
				case <-ctx.Done():
				case <-time.After(tryAgain):
				}
			}
		}
		return nil, err
	case token == 0:
		a.conn.Put()
		return nil, ErrHeld
	}
	lock := &Lock{c: c, req: r, owner: a.owner, release: a.undo, token: token, began: time.Now(), sent: a.sent, lease: r.lease(0)}
	if lock.release == nil {
		lock.release = r.release(token)
	}
	if err := lock.confirm(ctx, a.conn); err != nil {
		a.conn.Close()
		c.giveBack(&r, lock.release)
		return nil, err
	}
	return lock, nil
}

func ignore(any) {}

// left reports whether an attempt was left to the next caller of a line.
func (c *Client) left(l *line, a *attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.kept == a
}

// attempt makes the commands that take a lock and give it back.
func (c *Client) attempt(r *request, conn *blocking.Conn, wait bool) *attempt {
	a := &attempt{conn: conn, owner: r.Owner, meta: r.Meta}
	if unique := c.owner + strconv.FormatUint(c.count.Add(1), 36); r.Owner == "" {
		a.owner = unique
	} else { // tells this grant from others of the owner
		a.meta = strings.TrimLeft(r.Meta+" "+unique, " ")
	}
	// What is an argument of several commands is allocated as one once.
	var name, owner any = r.name, a.owner
	args := make([]any, 4, 12)
	args[0], args[1], args[2], args[3] = "LOCK.ACQUIRE", name, owner, r.lease(0).Milliseconds()
	switch {
	case r.Shared:
		args = append(args, "SHARED")
	case r.Limit > 1:
		args = append(args, "LIMIT", r.Limit)
	}
	if wait {
		args = append(args, "BLOCK", 0)
	}
	if r.Session {
		args = append(args, "SESSION")
	}
	if a.meta != "" {
		args = append(args, "META", a.meta)
	}
	a.args = r.withAlso(append(args, "WITHTOKEN"))
	if r.Owner == "" {
		a.undo = r.withAlso([]any{"LOCK.RELEASE", name, owner})
	}
	return a
}

// release is the command that releases one grant, and no other one of its owner.
func (r *request) release(token int64) []any {
	return r.withAlso([]any{"LOCK.RELEASE", r.name, r.Owner, "TOKEN", token})
}

// withAlso is a command for all names of a request.
func (r *request) withAlso(args []any) []any {
	if r.also == "" {
		return args
	}
	args = append(args, "ALSO")
	for _, name := range r.names()[1:] {
		args = append(args, name)
	}
	return args
}

// confirm makes sure of a lock that was just granted over a connection.
func (l *Lock) confirm(ctx context.Context, conn *blocking.Conn) error {
	if l.req.Replicas > 0 { // WAIT speaks of its own connection's writes
		n, err := conn.Do(ctx, l.req.ReplicasTimeout+tryTime, l.release, "WAIT", l.req.Replicas, l.req.ReplicasTimeout.Milliseconds())
		if err != nil {
			return err
		}
		if n, _ := n.(int64); n < int64(l.req.Replicas) {
			return fmt.Errorf("%w: %d of %d in %v", ErrNotReplicated, n, l.req.Replicas, l.req.ReplicasTimeout)
		}
	}
	// The lease runs from the grant, which was after the request was sent; how long
	// after, nobody here knows. After a long wait it is renewed at once.
	if !l.req.pass && time.Since(l.sent) > l.lease/3 {
		sent, lease := time.Now(), l.req.lease(time.Since(l.began))
		reply, err := conn.Do(ctx, min(tryTime, lease), l.release, l.extension(lease)...)
		if err != nil {
			return err
		}
		if reply != int64(1) {
			return errLapsed
		}
		l.sent, l.lease = sent, lease
	}
	if l.req.Session {
		conn.Waiting()
		l.conn = conn
	} else {
		conn.Put()
	}
	return nil
}
