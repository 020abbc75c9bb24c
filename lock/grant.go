package lock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

// tryTime bounds a command that does not wait, and whoever had to wait longer than
// atOnce for a lock found it held.
const (
	tryTime = 5 * time.Second
	atOnce  = time.Millisecond
)

// errLapsed says that a lock was granted and its lease ran out before this
// process came to know of it. It is asked for again.
var errLapsed = errors.New("the lease ran out before the lock could be used")

// grant asks for a lock until it has it, ctx ends, or an error does not pass.
func (c *Client) grant(ctx context.Context, r request, crowd bool) (*Lock, error) {
	var backoff blocking.Backoff
	for {
		l, err := c.ask(ctx, r, true, crowd)
		switch {
		case err == nil:
			return l, nil
		case ctx.Err() != nil:
			return nil, context.Canceled
		case errors.Is(err, errLapsed):
			continue
		case !passes(err):
			return nil, err
		}
		c.conns.Forget(ctx)
		if !backoff.Pause(ctx, r.Outage) {
			if ctx.Err() != nil {
				return nil, context.Canceled
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
		l, err := c.ask(ctx, r, false, false)
		if err == nil || ctx.Err() != nil || !passes(err) {
			return l, err
		}
		c.conns.Forget(ctx)
		if !backoff.Pause(ctx, time.Second) {
			return nil, err
		}
	}
}

// passes tells whether asking again may help.
func passes(err error) bool {
	return blocking.Passes(err) && !errors.Is(err, ErrHeld) && !errors.Is(err, ErrNotReplicated)
}

// ask asks for a lock once. Where nobody of this process had to wait lately it
// first asks without waiting: a free lock needs no connection of its own.
func (c *Client) ask(ctx context.Context, r request, wait, crowd bool) (*Lock, error) {
	conn, used, err := c.conns.Get(ctx, r.name)
	if err != nil {
		return nil, err
	}
	if !wait || !used && !crowd {
		l, err := c.send(ctx, conn, r, false)
		switch {
		case err == nil:
			return l, nil
		case !errors.Is(err, ErrHeld):
			return nil, err
		case !wait:
			conn.Put()
			return nil, err
		}
	}
	conn.Waiting()
	began := time.Now()
	l, err := c.send(ctx, conn, r, true)
	if time.Since(began) > atOnce {
		c.mu.Lock()
		c.heldAt = time.Now()
		c.mu.Unlock()
	}
	return l, err
}

// send sends LOCK.ACQUIRE and sees to it that what it may have granted is given
// back unless it returns the lock. Except after ErrHeld it has the connection.
func (c *Client) send(ctx context.Context, conn *blocking.Conn, r request, wait bool) (*Lock, error) {
	// What is an argument of several commands is allocated as one once.
	var name, owner any = r.name, rand.Text()
	release := []any{"LOCK.RELEASE", name, owner}
	args := []any{"LOCK.ACQUIRE", name, owner, r.Lease.Milliseconds(), "WITHTOKEN", "META", r.Meta}
	switch {
	case r.Shared:
		args = append(args, "SHARED")
	case r.Limit > 1:
		args = append(args, "LIMIT", r.Limit)
	}
	if r.Session {
		args = append(args, "SESSION")
	}
	within := tryTime
	if wait {
		args, within = append(args, "BLOCK", 0), 0
	}
	sent := time.Now()
	reply, err := conn.Do(ctx, within, release, args...)
	token, ok := reply.(int64)
	switch {
	case err == nil && !ok:
		err = fmt.Errorf("lock: LOCK.ACQUIRE answered %v", reply)
		fallthrough
	case err != nil:
		conn.Close()
		if !blocking.Refused(err) { // the reply is lost, and with it who holds the lock
			c.disown(r, release)
		}
		return nil, err
	case token == 0:
		return nil, ErrHeld
	}
	l := &Lock{c: c, req: r, owner: owner, release: release, token: token, sent: sent}
	if err := l.settle(ctx, conn); err != nil {
		conn.Close()
		l.discard()
		return nil, err
	}
	return l, nil
}

// settle makes sure of a lock that was just granted.
func (l *Lock) settle(ctx context.Context, conn *blocking.Conn) error {
	if l.req.Replicas > 0 {
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
	if time.Since(l.sent) > l.req.Lease/3 {
		sent := time.Now()
		held, err := l.extend(ctx)
		if err != nil {
			return err
		}
		if !held {
			return errLapsed
		}
		l.sent = sent
	}
	if l.req.Session {
		conn.Waiting()
		l.conn = conn
	} else {
		conn.Put()
	}
	return nil
}

// disown gives back what an owner may have been granted on a connection that has
// closed since. It keeps nobody waiting: a server that left a caller without a reply
// may take its time. What fails for longer than a lease is over by itself.
func (c *Client) disown(r request, release []any) {
	work := func() {
		var backoff blocking.Backoff
		for {
			_, err := c.conns.Send(context.Background(), release...)
			if !blocking.Passes(err) || !backoff.Pause(c.ctx, r.Lease) {
				return
			}
		}
	}
	if !c.spawn(work) { // after Close, which waits for those it knows of
		work()
	}
}
