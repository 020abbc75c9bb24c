package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// A client that does not read what it asked for is closed at client-output-buffer-limit.
// Its task comes back when the lease is over and is buried after so many deliveries; its
// lock goes on when the lease is over. Others are served meanwhile.
func TestASlowReaderHarmsNobodyElse(t *testing.T) {
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--client-output-buffer-limit", "normal 1mb 0 0"))
	c := dialCache(t, s.Addr)
	large := strings.Repeat("x", 2<<20)
	slow := []*cacheConn{dialCache(t, s.Addr), dialCache(t, s.Addr)}
	for i, w := range slow {
		w.send("TASK.CONSUME g % s 1 0 LEASE 200 MAXDELIVERIES 2 DEAD dead", fmt.Sprint("slow", i))
	}
	await(t, "two to wait", func() bool { return strings.Contains(c.do("INFO clients"), "blocked_clients:2") })
	c.do("TASK.PUBLISH s %", large)
	for _, w := range slow {
		_ = w.SetReadDeadline(time.Now().Add(patience))
		if n, err := io.Copy(io.Discard, w); err != nil || n > int64(len(large)) {
			t.Errorf("%d bytes of the reply came through, and then %v", n, err)
		}
	}
	await(t, "the task to be buried", func() bool {
		c.do("TASK.CONSUME g other s 1 1 LEASE 200 MAXDELIVERIES 2 DEAD dead")
		return c.do("XLEN dead") == "1"
	})
	c.wants("0", "XLEN s")

	// A holder that reads nothing of what a thousand hits answer.
	c.wants("OK", "CACHE.SET k % 600000", large[:100_000])
	greedy := dialCache(t, s.Addr)
	greedy.wants("1", "LOCK.ACQUIRE l greedy 600000 SESSION")
	_, _ = io.WriteString(greedy, strings.Repeat("CACHE.GET k\r\n", 1000))
	next := dialCache(t, s.Addr)
	next.send("LOCK.ACQUIRE l next 60000 BLOCK 0")
	next.hears("1")
	c.wants("PONG", "PING")
}
