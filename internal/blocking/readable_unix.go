//go:build unix

package blocking

import (
	"net"
	"syscall"
)

// readable reports whether something has arrived on a connection on which nothing
// should: the server closed it, or the two sides disagree what was asked. A TLS
// connection cannot tell.
func readable(raw net.Conn) (yes bool) {
	sys, ok := raw.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sys.SyscallConn()
	if err != nil {
		return true
	}
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		yes = err != syscall.EAGAIN && err != syscall.EINTR
	})
	return yes || err != nil
}
