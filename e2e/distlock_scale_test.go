package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"holdfast/holdfasttest"
)

// As many wait as open files allow here, in all the ways there are, and go in
// all the ways there are. If one handle leaked, the module would not unload.
func TestThousandsWhoWaitLeaveNoHandleBehind(t *testing.T) {
	clients := min(10_000, openFiles(t)/2) / 100 * 100
	manyWaitAndGo(t, clients, clients/100)
}

// allWhoCanWait is the same with as many as this machine has open files and ports for,
// over a thousand locks.
func allWhoCanWait(t *testing.T) tally {
	const ports = 27_000 // to one address
	clients := min(openFiles(t)-1500, ports) / 1000 * 1000
	manyWaitAndGo(t, clients, 1000)
	return tally{operations: clients, kills: clients / 5, histories: 1}
}

func openFiles(t *testing.T) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(limit.Cur)
}

func manyWaitAndGo(t *testing.T, clients, locked int) {
	t.Logf("%d waiters over %d locks", clients, locked)
	l := lockServer(t, holdfasttest.WithArgs("--maxclients", fmt.Sprint(clients+100)))
	lock := func(i int) string { return fmt.Sprintf("lock:%d", i%locked) }
	for i := range locked {
		l.wants("1", "LOCK.ACQUIRE % holder 600000", lock(i))
	}
	conns := make([]*cacheConn, clients)
	for i := range conns {
		conns[i] = l.another()
		option := []string{"BLOCK 0", "BLOCK 600000", "BLOCK 0 SESSION", "BLOCK 0 WITHTOKEN"}[i%4]
		conns[i].send("LOCK.ACQUIRE % % 600000 "+option, lock(i), i)
	}
	l.waiting(int64(clients))

	// A tenth hangs up, a tenth is killed or unblocked, and the rest get their
	// turn, one behind the other.
	gone := map[int]bool{}
	for i := 0; i < clients; i += 10 {
		gone[i] = true
		_ = conns[i].Close()
	}
	l.waiting(int64(clients - clients/10))
	var ids []string
	for line := range strings.Lines(strings.ReplaceAll(l.do("CLIENT LIST"), `\n`, "\n")) {
		if id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " "); strings.Contains(line, "cmd=lock.acquire") {
			ids = append(ids, strings.Trim(id, `"id=`))
		}
	}
	if len(ids) != clients-clients/10 {
		t.Fatalf("%d clients wait", len(ids))
	}
	ended := 0
	for i := 0; i < len(ids); i += 10 {
		l.do([]string{"CLIENT KILL ID %", "CLIENT UNBLOCK % TIMEOUT", "CLIENT UNBLOCK % ERROR"}[i/10%3], ids[i])
		ended++
	}
	left := int64(clients - clients/10 - ended)
	l.waiting(left)
	for l.info("waiting") > 0 {
		for i := range locked {
			l.send("LOCK.BREAK %", lock(i))
		}
		for range locked {
			l.read()
		}
	}
	if got := l.info("handed_over"); got != left {
		t.Errorf("%d got their turn, want %d", got, left)
	}
	l.nothingLeft()
}
