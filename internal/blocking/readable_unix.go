//go:build unix

package blocking

import (
	"net"
	"syscall"
)

// peeker looks whether something has arrived on a connection. It is part of a Conn so
// that looking allocates nothing.
type peeker struct {
	raw   syscall.RawConn
	look  func(fd uintptr)
	found bool
}

// readable reports whether something has arrived on a connection on which nothing
// should: the server closed it, or the two sides disagree what was asked. A TLS
// connection cannot tell.
func (p *peeker) readable(conn net.Conn) bool {
	if p.raw == nil {
		sys, ok := conn.(syscall.Conn)
		if !ok {
			return false
		}
		raw, err := sys.SyscallConn()
		if err != nil {
			return true
		}
		p.raw = raw
		p.look = func(fd uintptr) {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			p.found = err != syscall.EAGAIN && err != syscall.EINTR
		}
	}
	err := p.raw.Control(p.look)
	return p.found || err != nil
}
