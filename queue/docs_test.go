package queue_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/queue"
)

// The program with which docs/queue.md begins runs as it stands there.
func TestTheProgramInTheDocsRuns(t *testing.T) {
	s := start(t)
	run, lines := runProgram(t, s, "../docs/queue.md")
	lines.Scan()
	id, ok := strings.CutPrefix(lines.Text(), "published ")
	if lines.Scan(); !ok || lines.Text() != "sent "+id+" to ann@example.com" {
		t.Errorf("it said %q of the task %q", lines.Text(), id)
	}
	endProgram(t, run, lines)
	if st := s.stats(queue.New[string](s.rdb(), "mails", queue.Options{})); st.Length > 0 {
		t.Errorf("%+v", st)
	}
}

// So does that of docs/keyed.md: the small tenant's task comes among the first.
func TestTheProgramOfKeyedTasksRuns(t *testing.T) {
	s := start(t)
	run, lines := runProgram(t, s, "../docs/keyed.md")
	if lines.Scan(); lines.Text() != "held 98 of tenant-big" {
		t.Errorf("it said %q", lines.Text())
	}
	small := 0
	for n := 1; n <= 101 && lines.Scan(); n++ {
		if lines.Text() == "tenant-small small" {
			small = n
		}
	}
	if small == 0 || small > 50 {
		t.Errorf("the small tenant's task came as number %d", small)
	}
	endProgram(t, run, lines)
}

// runProgram builds and starts the program with which a page begins.
func runProgram(t *testing.T, s *server, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\n")
	program, _, found := strings.Cut(rest, "```")
	if !found || !strings.HasPrefix(program, "package main\n") {
		t.Fatal(path + " does not begin with a Go program")
	}
	dir, err := os.MkdirTemp(".", "testdata-program-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", binary, "./"+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command(binary)
	run.Env = append(os.Environ(), "REDIS_ADDR="+s.Addr)
	run.Stderr = os.Stderr
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	return run, bufio.NewScanner(out)
}

// endProgram ends it by a signal.
func endProgram(t *testing.T, run *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	_ = run.Process.Signal(syscall.SIGTERM)
	for lines.Scan() {
	}
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
}

// The rights that docs/queue.md names for a worker suffice for all it does.
func TestAWorkerNeedsNoMoreRightsThanTheDocsSay(t *testing.T) {
	s := start(t)
	page, err := os.ReadFile("../docs/queue.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "In an ACL the worker needs ")
	list, _, found := strings.Cut(rest, "on the keys")
	if !found {
		t.Fatal("docs/queue.md names no rights")
	}
	rules := []any{"ACL", "SETUSER", "worker", "on", ">secret", "~q", "~{q}:*"}
	for i, word := range strings.Split(list, "`") {
		if i%2 == 1 {
			rules = append(rules, "+"+word)
		}
	}
	if err := s.Do(s.Context(), rules...).Err(); err != nil || len(rules) < 12 {
		t.Fatal(rules, err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "worker", Password: "secret", DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	q, c := s.queue("q"), newTally()
	s.XGroupCreateMkStream(s.Context(), "q", "another", "0")
	long := make(chan struct{})
	w := run(t, queue.NewWorker(queue.New[string](rdb, "q", queue.Options{}), func(ctx context.Context, t *queue.Task[string]) error {
		switch {
		case t.Payload == "bad":
			return queue.Discard(errors.New("bad"))
		case t.Payload == "long":
			<-long
		case t.Try == 1:
			return errors.New("once more")
		}
		return c.handle(ctx, t)
	}, queue.WorkerOptions{Lease: 500 * time.Millisecond, Backoff: queue.Constant(time.Millisecond), Concurrency: 3, Prefetch: 5, Logger: quiet}))
	for _, payload := range []string{"bad", "long", "fails"} {
		s.publish(q, payload)
	}
	s.Until("leases are renewed", func() bool { return s.Calls("task.extend") > 2 })
	close(long)
	s.Until("both are done, and one is dead", func() bool { return c.len() == 2 && s.stats(q).Dead == 1 })
	w.stop()
	for line := range strings.Lines(s.Info(s.Context(), "errorstats").Val()) {
		if strings.HasPrefix(line, "errorstat_NOPERM") {
			t.Error(line, s.Do(s.Context(), "ACL", "LOG"))
		}
	}
}
