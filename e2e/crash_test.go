package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/internal/redisserver"
)

// A server that crashes while clients wait, leases run and tasks are due writes a complete
// report and ends, as it does without the modules. Nothing of Go runs in it.
func TestACrashReportIsCompleteAndTheServerEnds(t *testing.T) {
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"DEBUG SEGFAULT", "DEBUG PANIC"} {
		t.Run(how, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			p, err := redisserver.Start(ctx, redisserver.Config{
				Binary: os.Getenv("HOLDFAST_SERVER"), Modules: modules,
				Args: []string{"--enable-debug-command", "yes", "--crash-memcheck-enabled", "no"},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Stop)
			c := dialCache(t, p.Addr)
			c.wants("1", "LOCK.ACQUIRE l holder 60000")
			c.do("TASK.PUBLISH s later DELAY 60000")
			c.loads("CACHE.FETCH k 60000 60000")
			for _, line := range []string{"LOCK.ACQUIRE l next 60000 BLOCK 0", "CACHE.FETCH k 1000 1000 BLOCK 0", "TASK.CONSUME g c s 1 0"} {
				dialCache(t, p.Addr).send(line)
			}
			await(t, "three to wait", func() bool { return strings.Contains(c.do("INFO clients"), "blocked_clients:3") })
			c.send(how)
			select {
			case <-p.Done():
			case <-time.After(patience):
				t.Fatalf("the server does not end; it wrote\n%s", p.Log())
			}
			log := p.Log()
			for _, part := range []string{"INFO OUTPUT", "# Keyspace", "CLIENT LIST OUTPUT", "MODULES INFO OUTPUT", "BUG REPORT END"} {
				if !strings.Contains(log, part) {
					t.Errorf("the report lacks %s", part)
				}
			}
			for _, go_ := range []string{"goroutine ", "fatal error:", "SIGSEGV: segmentation violation", ": panic: "} {
				if strings.Contains(log, go_) {
					t.Errorf("Go had its hands in it: %s", grep(log, go_))
				}
			}
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}
