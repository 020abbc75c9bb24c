package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

// taskScript writes a line into the file log when it begins and when it ends well. Payloads that end in 7 are never
// done; those that end in 3 fail once with 75, those that end in 5 once with another code.
const taskScript = `n=$(cat)
echo "began $n $HOLDFAST_TASK_TRY" >> log
case $n in
*7) echo "no such address: $n" >&2; exit 65 ;;
*3) test $HOLDFAST_TASK_TRY -gt 1 || exit 75 ;;
*5) test $HOLDFAST_TASK_TRY -gt 1 || exit 9 ;;
esac
echo "done $n $HOLDFAST_TASK_TRY" >> log
`

func TestAThousandTasksAreDoneOnceEachThoughWorkersAreKilled(t *testing.T) {
	const tasks, workers = 1000, 4
	s := holdfasttest.Server(t)
	rdb, dir, ctx := s.Client(), t.TempDir(), t.Context()
	if err := os.WriteFile(filepath.Join(dir, "task"), []byte(taskScript), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := newTool(t, s.Addr, dir, "queue", "publish", "mail")
	publish.Stdin = strings.NewReader(lines(0, tasks))
	publish.start()
	if code := publish.wait(); code != 0 {
		t.Fatal(publish.said())
	}
	work := func() *process {
		return startTool(t, s.Addr, dir, "queue", "work", "mail", "--quiet", "--concurrency", "4", "--lease", "2s", "--backoff", "20ms", "--max-backoff", "100ms", "--", "sh", "task")
	}
	var running []*process
	for range workers {
		running = append(running, work())
	}
	inspector := queue.Inspect(rdb)
	settled := func() int64 {
		stats, err := inspector.Stats(ctx, "mail")
		if err != nil {
			t.Fatal(err)
		}
		return infoNumber(t, rdb, "taskqueue_acked") + stats.Dead
	}
	// The signals come when so much is done, whatever the machine's speed.
	for n, with := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		until(t, fmt.Sprintf("%d tasks are settled", 150*(n+1)), func() bool { return settled() >= int64(150*(n+1)) })
		victim := running[n%workers]
		victim.signal(with)
		if code := victim.wait(); with == syscall.SIGTERM && code != 0 && code != 130 {
			t.Errorf("a worker that was told to end: exit code %d: %s", code, victim.said())
		}
		running[n%workers] = work()
	}
	until(t, "all tasks are settled", func() bool {
		stats, err := inspector.Stats(ctx, "mail")
		if err != nil {
			t.Fatal(err)
		}
		return stats.Length == 0 && stats.Delayed == 0
	})
	for _, w := range running {
		w.signal(syscall.SIGTERM)
	}
	for _, w := range running {
		w.wait()
	}

	stats, err := inspector.Stats(ctx, "mail")
	if err != nil {
		t.Fatal(err)
	}
	const buried = tasks / 10
	if stats.Dead != buried || stats.Length != 0 || stats.Delayed != 0 {
		t.Errorf("%d dead letters, %d tasks, %d delayed; want %d, 0, 0", stats.Dead, stats.Length, stats.Delayed, buried)
	}
	if acked := infoNumber(t, rdb, "taskqueue_acked"); acked != tasks-buried {
		t.Errorf("%d acknowledgements of %d tasks", acked, tasks-buried)
	}
	report, err := inspector.Failures(ctx, "mail", queue.SearchOptions{State: queue.Dead, Window: tasks})
	if err != nil || len(report.Groups) != 1 || report.Groups[0].Count != buried || !strings.HasPrefix(report.Groups[0].Error, "no such address") {
		t.Errorf("the dead letters say %+v, %v", report.Groups, err)
	}
	checkTasks(t, filepath.Join(dir, "log"), tasks)
}

// checkTasks reads the log: every task was done that can be, in the try in which it can be.
func checkTasks(t *testing.T, path string, tasks int) {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	done, again := map[int]bool{}, 0
	for line := range strings.Lines(string(log)) {
		var what string
		var n, try int
		if _, err := fmt.Sscan(line, &what, &n, &try); err != nil || what != "done" {
			continue
		}
		if done[n] {
			again++
		}
		done[n] = true
		if first := n%10 != 3 && n%10 != 5; !first && try < 2 {
			t.Errorf("task %d was done in its first try", n)
		}
	}
	for n := range tasks {
		if buried := n%10 == 7; done[n] == buried {
			t.Errorf("task %d: done %v", n, done[n])
		}
	}
	t.Logf("%d commands ran to their end more than once, for workers killed before they could acknowledge", again)
}

// infoNumber is a number in INFO.
func infoNumber(t *testing.T, rdb *redis.Client, field string) int64 {
	t.Helper()
	info, err := rdb.Info(t.Context(), "everything").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, behind, _ := strings.Cut(info, "\r\n"+field+":")
	text, _, _ := strings.Cut(behind, "\r\n")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("INFO has no %s: %v", field, err)
	}
	return n
}

// lines are numbers, one a line.
func lines(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}
