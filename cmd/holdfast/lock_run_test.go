package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// inLine waits until so many wait for a lock.
func inLine(t *testing.T, rdb *redis.Client, name string, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d wait for %s", n, name), func() bool {
		reply, err := rdb.Do(t.Context(), "LOCK.LIST", "MATCH", name, "WITHINFO").Result()
		return err == nil && strings.Contains(fmt.Sprint(reply), fmt.Sprintf("waiting:%d", n))
	})
}

func TestTwentyRunOneAfterTheOtherInTheOrderInWhichTheyCame(t *testing.T) {
	s := holdfasttest.Server(t)
	rdb, dir := s.Client(), t.TempDir()
	if err := rdb.Do(t.Context(), "LOCK.ACQUIRE", "nightly", "test", 600000).Err(); err != nil {
		t.Fatal(err)
	}
	var runs []*process
	var want string
	for n := range 20 {
		runs = append(runs, startTool(t, s.Addr, dir, "lock", "run", "nightly", "--", "sh", "-c", fmt.Sprintf("test ! -e busy && touch busy && echo %d >> order && rm busy", n)))
		want += fmt.Sprintln(n)
		inLine(t, rdb, "nightly", n+1)
	}
	if err := rdb.Do(t.Context(), "LOCK.RELEASE", "nightly", "test").Err(); err != nil {
		t.Fatal(err)
	}
	for n, r := range runs {
		if code := r.wait(); code != 0 {
			t.Errorf("run %d: exit code %d: %s", n, code, r.said())
		}
	}
	if order, _ := os.ReadFile(filepath.Join(dir, "order")); string(order) != want {
		t.Errorf("they ran in the order\n%s", order)
	}
}

func TestACommandWhoseHoldfastWasStoppedPastItsLeaseIsRefusedAndEnded(t *testing.T) {
	s := holdfasttest.Server(t)
	rdb, dir := s.Client(), t.TempDir()
	r := startTool(t, s.Addr, dir, "lock", "run", "nightly", "--lease", "1s", "--grace", "5s", "--", "sh", "-c",
		`trap 'echo by TERM > ended; exit 0' TERM; echo $HOLDFAST_TOKEN > token.new; mv token.new token; while :; do sleep 0.02; done`)
	token := r.file("token")
	r.signal(syscall.SIGSTOP)

	// Another holder comes when the lease is over, with a greater token.
	greater, err := rdb.Do(t.Context(), "LOCK.ACQUIRE", "nightly", "another", 600000, "BLOCK", 60000, "WITHTOKEN").Int64()
	if err != nil || greater == 0 {
		t.Fatal("the lock of a stopped holder was not to be had:", greater, err)
	}
	for _, step := range []struct {
		token any
		want  int64
	}{{greater, 1}, {token, 0}} {
		if passed, err := rdb.Do(t.Context(), "LOCK.FENCE", "backup", step.token).Int64(); err != nil || passed != step.want {
			t.Errorf("the token %v: %d, %v; want %d", step.token, passed, err, step.want)
		}
	}

	r.signal(syscall.SIGCONT)
	if code := r.wait(); code != 1 || !strings.Contains(r.said(), "nightly was lost while the command ran") {
		t.Errorf("exit code %d: %s", code, r.said())
	}
	if how := r.file("ended"); how != "by TERM" {
		t.Errorf("the command ended %q", how)
	}
}

func TestALockOfASessionIsFreeAtOnceWhenHoldfastIsKilled(t *testing.T) {
	s := holdfasttest.Server(t)
	r := startTool(t, s.Addr, t.TempDir(), "lock", "run", "nightly", "--session", "--lease", "10m", "--", "sh", "-c", "echo $$ > pid.new; mv pid.new pid; exec sleep 600")
	pid := r.file("pid")
	r.signal(syscall.SIGKILL)
	r.wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := s.Client().Do(ctx, "LOCK.ACQUIRE", "nightly", "another", 1000, "BLOCK", patience.Milliseconds()).Int64(); err != nil || got != 1 {
		t.Error("the lock is not free:", got, err)
	}
	until(t, "the command was killed too", func() bool { return !alive(pid) })
}

// alive tells whether a process runs.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, behind, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(behind, "Z")
}
