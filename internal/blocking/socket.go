package blocking

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// socket is a Conn's connection to the server. It times replies itself: the
// client's timeout would be one for all commands, and end without a farewell.
type socket struct {
	net.Conn
	c *Conn
}

func (s socket) Write(b []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.left {
		return 0, net.ErrClosed
	}
	if err := s.allow(s.c.within); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// allow sets when a reply is late. Setting that is dear, and commands that do not
// wait come one behind the other: a time that still will do is left as it is. The
// caller has c.mu.
func (s socket) allow(within time.Duration) error {
	c, most := s.c, within+within/4
	switch left := time.Until(c.late); {
	case within == 0 && c.late.IsZero(), within > 0 && left >= within && left <= most:
		return nil
	case within == 0:
		c.late = time.Time{}
	default:
		c.late = time.Now().Add(most)
	}
	return s.Conn.SetReadDeadline(c.late)
}

// SetReadDeadline is not for the client: it takes away what allow has set.
func (s socket) SetReadDeadline(time.Time) error { return nil }

func (s socket) SetDeadline(t time.Time) error { return s.SetWriteDeadline(t) }

func (s socket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		s.c.leave()
	}
	return n, err
}

// plain is a socket that lets the client see whether the server has closed a
// connection that was kept. TLS has nothing to show.
type plain struct {
	socket
	syscall.Conn
}

func wrap(raw net.Conn, c *Conn) net.Conn {
	s := socket{raw, c}
	if sys, ok := raw.(syscall.Conn); ok {
		return plain{s, sys}
	}
	return s
}

// keepAlive has the system see within half a minute that the other machine is gone, or
// the way there. Who waits says nothing, so nothing else would tell; the client's own
// setting takes more than five minutes.
func keepAlive(raw net.Conn) {
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok { // TLS
		raw = t.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4})
	}
}

// leave sends a last command and shuts the connection's sending half. What the
// server still has to say is read, because closing on unread data would reset
// the connection, and with it what the server has not read yet.
func (c *Conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	if c.raw == nil {
		return
	}
	_ = c.raw.SetDeadline(time.Now().Add(farewell))
	if len(c.last) > 0 {
		_, _ = c.raw.Write(encode(c.last))
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.raw.Close()
}
