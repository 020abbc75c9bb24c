package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// smallDisk is a folder on a file system of its own, of so many megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("this machine mounts no small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill leaves no room on a disk until the function that it returns is called.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// While the append-only file finds no room, commands are refused and nobody in line is
// granted anything that a crash would take back. When there is room again all of it goes
// on, and a crash after that loses nothing.
func TestAFullDiskGrantsNothingAndLosesNothing(t *testing.T) {
	disk := smallDisk(t, 4)
	s := holdfasttest.Server(t, holdfasttest.WithDir(disk), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "everysec"))
	c := dialCache(t, s.Addr)
	c.wants("1", "LOCK.ACQUIRE l holder 600000")
	waiter := dialCache(t, s.Addr).send("LOCK.ACQUIRE l next 600000 BLOCK 0")
	inTime := dialCache(t, s.Addr).send("LOCK.ACQUIRE l late 600000 BLOCK 2500")
	await(t, "two to wait", func() bool { return strings.Contains(c.do("INFO clients"), "blocked_clients:2") })
	c.pipelined("LOCK.EXTEND l holder 1500", "TASK.PUBLISH s due DELAY 1500")
	free := fill(t, disk)
	await(t, "writes to be refused", func() bool {
		return strings.HasPrefix(c.do("SET filler %", strings.Repeat("x", 10_000)), "-MISCONF")
	})
	inTime.hears("0") // a wait ends in its time, when the lease is long over
	if info := c.do("LOCK.INFO l"); strings.Contains(info, `"owner" "next"] `) || c.do("XLEN s") != "0" {
		t.Errorf("on a full disk the lock is %s, and %s tasks are due", info, c.do("XLEN s"))
	}
	for _, line := range []string{"LOCK.ACQUIRE m a 1000", "TASK.PUBLISH s p", "LOCK.RELEASE l holder", "CACHE.SET k v 1000"} {
		if got := c.do(line); !strings.HasPrefix(got, "-MISCONF") {
			t.Errorf("%s on a full disk: %s", line, got)
		}
	}
	free()
	waiter.hears("1")
	await(t, "the task", func() bool { return c.do("XLEN s") == "1" })
	c.wants("OK", "CONFIG SET appendfsync always") // a write may wait a second for a busy disk, and the kill does not
	c.wants("1", "LOCK.ACQUIRE m a 600000")
	s.Kill()
	s.Restart()
	c = dialCache(t, s.Addr)
	c.wants("1", "LOCK.EXTEND l next 600000")
	c.wants("1", "LOCK.EXTEND m a 600000")
	c.wants("1", "XLEN s")
}

// With appendfsync always a server that cannot write ends itself. What it acknowledged is
// there when it is started again.
func TestWithAppendfsyncAlwaysAFullDiskEndsTheServerAndLosesNothing(t *testing.T) {
	disk := smallDisk(t, 4)
	s := holdfasttest.Server(t, holdfasttest.WithDir(disk), lockAOF, holdfasttest.WithArgs("--auto-aof-rewrite-percentage", "0"))
	c := dialCache(t, s.Addr)
	c.wants("1", "LOCK.ACQUIRE l holder 600000")
	w := dialCache(t, s.Addr).send("LOCK.ACQUIRE l next 600000 BLOCK 0")
	free := fill(t, disk)
	published := 0
	for payload := strings.Repeat("x", 1000); ; published++ {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if reply, err := c.send("TASK.PUBLISH s %", payload).tryRead(); err != nil || strings.HasPrefix(reply, "-") {
			break
		}
	}
	<-s.Done()
	if _, err := w.tryRead(); err != io.EOF {
		t.Errorf("who waited hears %v", err)
	}
	free()
	s.Restart()
	c = dialCache(t, s.Addr)
	c.wants("1", "LOCK.EXTEND l holder 600000")
	if n := c.do("XLEN s"); n != fmt.Sprint(published) && n != fmt.Sprint(published+1) {
		t.Errorf("%s tasks are there, and %d were acknowledged", n, published)
	}
}
