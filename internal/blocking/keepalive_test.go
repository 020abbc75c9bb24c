package blocking_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A machine that vanishes says no farewell: the system must ask for it.
func TestAConnectionThatWaitsIsAskedForItsLife(t *testing.T) {
	b := start(t)
	var raw net.Conn
	p := b.over(redis.NewClient(&redis.Options{Addr: b.Addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		raw = c
		return c, err
	}}))
	c := b.get(p, "l")
	defer c.Close()
	if _, err := c.Do(b.context(), time.Second, nil, "PING"); err != nil {
		t.Fatal(err)
	}
	sys, err := raw.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	seconds := 0
	err = sys.Control(func(fd uintptr) {
		for _, o := range []int{syscall.TCP_KEEPIDLE, syscall.TCP_KEEPINTVL, syscall.TCP_KEEPCNT} {
			v, _ := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, o)
			switch {
			case o == syscall.TCP_KEEPIDLE:
				seconds = v
			case o == syscall.TCP_KEEPCNT:
				seconds += 5 * v
			case v != 5:
				t.Errorf("asked every %d s", v)
			}
		}
	})
	if on := seconds > 0 && seconds <= 30; err != nil || !on {
		t.Errorf("a machine that vanished is noticed after %d s, %v", seconds, err)
	}
}
