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
	var deadline time.Time
	if s.c.within > 0 {
		deadline = time.Now().Add(s.c.within)
	}
	if err := s.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

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
