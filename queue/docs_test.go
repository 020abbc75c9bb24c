package queue_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/queue"
)

// The program with which docs/queue.md begins runs as it stands there.
func TestTheProgramInTheDocsRuns(t *testing.T) {
	s := start(t)
	page, err := os.ReadFile("../docs/queue.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\n")
	program, _, found := strings.Cut(rest, "```")
	if !found || !strings.HasPrefix(program, "package main\n") {
		t.Fatal("docs/queue.md does not begin with a Go program")
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
	lines := bufio.NewScanner(out)
	lines.Scan()
	id, ok := strings.CutPrefix(lines.Text(), "published ")
	if lines.Scan(); !ok || lines.Text() != "sent "+id+" to ann@example.com" {
		t.Errorf("it said %q of the task %q", lines.Text(), id)
	}
	_ = run.Process.Signal(syscall.SIGTERM)
	for lines.Scan() {
	}
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
	if st := s.stats(queue.New[string](s.rdb(), "mails", queue.Options{})); st.Length > 0 {
		t.Errorf("%+v", st)
	}
}
