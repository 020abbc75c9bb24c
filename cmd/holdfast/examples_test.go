package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

// exampleTask is the id that examples call a task by.
const exampleTask = "1795955550019-0"

// exampleFiles are files and programs that the examples name. sudo and convert stand for those of the machine.
var exampleFiles = map[string]string{
	"addresses.txt": "ann@example.com\nbob@example.com\n",
	"backup.sh":     "#!/bin/sh\necho backup\n",
	"convert":       "#!/bin/sh\nwc -c\n",
	"crawl":         "#!/bin/sh\necho crawled\n",
	"dead.jsonl":    `{"id":"1-1","payload":"eA=="}` + "\n",
	"send-mail":     "#!/bin/sh\ncat\n",
	"sudo":          "#!/bin/sh\ncat > redis.conf\n",
}

// TestEveryExampleOfTheHelpWorks runs the examples of each verb, each on a server in the state that it is for.
func TestEveryExampleOfTheHelpWorks(t *testing.T) {
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--appendonly", "yes"))
	rdb := s.Client()
	for _, cmd := range verbs(newRoot()) {
		name := strings.Join(words(cmd), " ")
		if name == "top" { // which needs a terminal: top_test.go gives it one
			continue
		}
		for line := range strings.Lines(cmd.Example) {
			line = strings.TrimSpace(line)
			t.Run(line, func(t *testing.T) {
				dir := t.TempDir()
				for file, text := range exampleFiles {
					if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.MkdirAll(filepath.Join(dir, "docs/man"), 0o700); err != nil {
					t.Fatal(err)
				}
				plantExample(t, rdb, name)
				p := newTool(t, s.Addr, dir)
				p.Path, p.Args = "/bin/sh", []string{"sh", "-c", runnable(t, cmd, line)}
				p.Env = append(p.Env, "PATH="+dir+":"+os.Getenv("PATH"))
				if strings.HasPrefix(name, "context ") && name != "context add" {
					p.Env = append(p.Env, "REDIS_URL=")
					writeContexts(t, dir)
				}
				p.start()
				if endless(line, name) {
					until(t, "it says something", func() bool { return p.said() != "" })
					_ = syscall.Kill(-p.Process.Pid, syscall.SIGINT)
				}
				if code := p.wait(); code != 0 && (code != 130 || !endless(line, name)) && (code != 1 || name != "doctor" || !faulty()) {
					t.Errorf("exit code %d:\n%s", code, p.said())
				}
			})
		}
	}
}

// endless tells whether an example runs until Ctrl-C.
func endless(line, name string) bool {
	switch name {
	case "serve", "dash", "queue work", "lock watch":
		return true
	case "metrics":
		return !strings.Contains(line, "--once")
	}
	return strings.Contains(line, "--watch") || strings.Contains(line, " -f")
}

// runnable is an example as a test can run it: nobody is asked, and ports are free ones of this machine.
func runnable(t *testing.T, cmd *cobra.Command, line string) string {
	line, _, _ = strings.Cut(line, "    ") // an explanation stands behind it
	if cmd.Flags().Lookup("yes") != nil && !strings.Contains(line, "--yes") && !strings.Contains(line, "--dry-run") {
		line += " --yes"
	}
	if listen := cmd.Flags().Lookup("listen"); listen != nil && !strings.Contains(line, "--once") {
		line += " --listen 127.0.0.1:0"
	}
	if cmd.Name() == "bench" {
		line += " --for 20ms" // the last one counts
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strings.ReplaceAll(line, "--port 7000", fmt.Sprint("--port ", l.Addr().(*net.TCPAddr).Port))
}

// plantExample brings the server into the state in which a verb's examples find something.
func plantExample(t *testing.T, rdb *redis.Client, name string) {
	t.Helper()
	do := func(ctx context.Context, command string, more ...any) {
		t.Helper()
		if err := rdb.Do(ctx, append(fields(command), more...)...).Err(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	ctx := t.Context()
	do(ctx, "FLUSHALL")
	do(ctx, "SET user:7 ann")
	for _, stream := range []string{"hello", "thumbnails", "old"} {
		do(ctx, "TASK.PUBLISH "+stream+" hello")
	}
	do(ctx, "TASK.PUBLISH mail later DELAY 600000")
	do(ctx, "XADD mail "+exampleTask+" payload ann@example.com")
	switch name {
	case "queue forget":
		do(ctx, "TASK.CONSUME workers web-1:77:XKCD mail")
	case "queue redrive", "queue retry", "queue discard", "queue purge", "queue export", "queue tail", "queue peek", "queue find":
		do(ctx, "TASK.CONSUME workers web-1:77:XKCD mail")
		do(ctx, "TASK.RETRY mail "+exampleTask+" ann@example.com 0", queue.RetryStream("mail", ""), queue.DeadStream("mail", ""), 0, "GROUP", "workers", "REASON", "no such user, or timeout")
		do(ctx, "TASK.PUBLISH mail bob@example.com")
	}
	if strings.HasPrefix(name, "lock ") && name != "lock run" {
		do(ctx, "LOCK.ACQUIRE nightly web-1:77 600000")
		do(ctx, "LOCK.ACQUIRE crawler web-1:77:3 600000 LIMIT 3")
	}
}

// writeContexts gives the names that examples of context use.
func writeContexts(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "holdfast"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "holdfast/contexts.json"), []byte(`{"contexts":{"live":{"url":"redis://a"},"local":{"url":"redis://b"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
}
