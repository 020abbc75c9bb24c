package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// shiftedServer is a server whose wall clock step moves to so much after the machine's.
func shiftedServer(t *testing.T, options ...holdfasttest.Option) (s *holdfasttest.Instance, step func(time.Duration)) {
	t.Helper()
	dir := t.TempDir()
	library, shift, server := filepath.Join(dir, "clock.so"), filepath.Join(dir, "shift"), filepath.Join(dir, "server")
	if out, err := exec.Command("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, "testdata/clock.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	step = func(d time.Duration) {
		t.Helper()
		f, err := os.OpenFile(shift, os.O_CREATE|os.O_WRONLY, 0o600) // in place: the server has it mapped
		if err == nil {
			_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(d/time.Second)))
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	step(0)
	binary := os.Getenv("HOLDFAST_SERVER")
	if binary == "" {
		binary = "redis-server"
	}
	script := fmt.Sprintf("#!/bin/sh\nexec env LD_PRELOAD=%s CLOCK_SHIFT=%s %s \"$@\"\n", library, shift, binary)
	if err := os.WriteFile(server, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOLDFAST_SERVER", server)
	return holdfasttest.Server(t, options...), step
}

// A wall clock that is set ahead by an hour ends leases and brings delayed tasks early, and
// one that is set back lets them last longer. In between tokens grow, everything that is
// asked for anew takes the time it should, and the server is idle.
func TestAClockThatIsSetByAnHourMovesLeasesAndNothingElse(t *testing.T) {
	s, step := shiftedServer(t)
	c := dialCache(t, s.Addr)
	token := c.do("LOCK.ACQUIRE l a 600000 WITHTOKEN")
	waiter := dialCache(t, s.Addr).send("LOCK.ACQUIRE l b 600000 BLOCK 0 WITHTOKEN")
	loader := c.loads("CACHE.FETCH k 600000 600000")
	reader := dialCache(t, s.Addr).send("CACHE.FETCH k 600000 600000 BLOCK 0")
	c.do("TASK.PUBLISH s later DELAY 600000")
	consumer := dialCache(t, s.Addr).send("TASK.CONSUME g c s 1 0")
	patient := dialCache(t, s.Addr).send("LOCK.ACQUIRE l d 1000 BLOCK 3600000")
	await(t, "four to wait", func() bool { return strings.Contains(c.do("INFO clients"), "blocked_clients:4") })

	grows := func(next string) {
		t.Helper()
		if len(next) < 16 || next <= token {
			t.Errorf("token %s after %s", next, token)
		}
		token = next
	}
	for _, hours := range []time.Duration{1, -1, 2, 0} {
		step(hours * time.Hour)
		await(t, "the server to look at its clock", func() bool { // which newer ones do now and then
			c.do("SET looked x PX 1000")
			at, _ := strconv.ParseInt(c.do("PEXPIRETIME looked"), 10, 64)
			ahead := time.Until(time.UnixMilli(at).Add(-hours * time.Hour))
			return ahead > 0 && ahead < 10*time.Second
		})
		if hours == 1 {
			grows(waiter.read())
			if next := reader.isToLoad(reader.read()); next == loader {
				t.Errorf("the load began with the token of the one before, %s", next)
			}
			if task := consumer.read(); !strings.Contains(task, `"later"`) {
				t.Errorf("the delayed task: %s", task)
			}
		}
		grows(c.do("LOCK.ACQUIRE % a 50 WITHTOKEN", fmt.Sprint("new", int64(hours))))
		grows(dialCache(t, s.Addr).send("LOCK.ACQUIRE % b 60000 BLOCK 0 WITHTOKEN", fmt.Sprint("new", int64(hours))).read())
		c.wants("0", "LOCK.ACQUIRE % c 60000 BLOCK 20", fmt.Sprint("new", int64(hours)))
		c.wants("nil", "TASK.CONSUME g c s 1 20")
		c.do("TASK.PUBLISH s soon DELAY 20")
		if task := c.do("TASK.CONSUME g c s 1 0"); !strings.Contains(task, `"soon"`) {
			t.Errorf("the delayed task: %s", task)
		}
		key := fmt.Sprint("key", int64(hours))
		c.loads("CACHE.FETCH % 20 20", key)
		c.loads("CACHE.FETCH % 20 20 BLOCK 0", key)
		before := c.cpu()
		time.Sleep(500 * time.Millisecond)
		if used := c.cpu() - before; used > 0.2 {
			t.Errorf("%v h ahead an idle server used %.2f s in half a second", int64(hours), used)
		}
	}
	// Who waited for an hour of the server's clock has been answered by now, or is when
	// that hour has come.
	step(3 * time.Hour)
	if got := patient.read(); got != "0" && got != "1" {
		t.Errorf("who waited for an hour heard %s", got)
	}
	c.wants("PONG", "PING")
}
