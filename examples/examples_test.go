// Package examples runs the programs that the pages about other languages show.
package examples

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

// runner runs the programs of a folder.
type runner struct {
	pattern string
	command []string // before the program's name
	env     []string
	probe   []string // fails where this machine cannot run them
}

func runners(t *testing.T) []runner {
	build, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	return []runner{
		{"node/*.mjs", []string{"node"}, nil, []string{"node", "--input-type=module", "-e", "await import('ioredis'); await import('redis'); await import('holdfast')"}},
		{"python/*.py", []string{"/usr/bin/python3"}, []string{"PYTHONPATH=../../clients/python"}, []string{"/usr/bin/python3", "-c", "import redis.asyncio"}},
		{"shell/*.sh", []string{"sh"}, []string{"PATH=" + build + ":" + os.Getenv("PATH")}, []string{filepath.Join(build, "holdfast"), "version"}},
	}
}

// commands are those whose replies the tests lose.
var commands = []string{
	"CACHE.EXTEND", "CACHE.FETCH", "CACHE.SET", "CACHE.SETNIL", "LOCK.ACQUIRE", "LOCK.EXTEND", "LOCK.RELEASE",
	"TASK.ACK", "TASK.CONSUME", "TASK.EXTEND", "TASK.FORGET", "TASK.NACK", "TASK.PUBLISH",
}

// lossy is a program that shows lost replies itself.
const lossy = "node/defaults.mjs"

func TestEachExamplePrintsWhatItSays(t *testing.T) {
	each(t, func(t *testing.T, run func(env ...string)) {
		s := holdfasttest.Server(t)
		proxy := clienttest.NewProxy(t, s.Addr)
		for n := range 5 {
			for _, key := range []string{"lock", "mail", "user"} {
				proxy.CutReplies(key+strconv.Itoa(n+1), 1)
			}
		}
		run("REDIS_URL=redis://"+s.Addr, "LOSSY_URL=redis://"+proxy.Addr)
	})
}

// The first two replies to each command are lost, and the connection breaks with them.
func TestEachExamplePrintsTheSameWhereRepliesAreLost(t *testing.T) {
	each(t, func(t *testing.T, run func(env ...string)) {
		if strings.HasSuffix(t.Name(), lossy) {
			t.Skip("it has lost replies of its own")
		}
		s := holdfasttest.Server(t)
		proxy := clienttest.NewProxy(t, s.Addr)
		for _, command := range commands {
			proxy.CutReplies(command, 2)
		}
		run("REDIS_URL=redis://" + proxy.Addr)
		if held := s.Client().Do(t.Context(), "LOCK.LIST").Val(); !strings.Contains(fmt.Sprint(held), "[]") {
			t.Errorf("locks that are still held: %v", held)
		}
	})
}

// each calls f for each program that this machine can run. run runs it, and compares what it prints.
func each(t *testing.T, f func(t *testing.T, run func(env ...string))) {
	for _, r := range runners(t) {
		programs, err := filepath.Glob(r.pattern)
		if err != nil || len(programs) == 0 {
			t.Fatalf("no %s: %v", r.pattern, err)
		}
		for _, path := range programs {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				probe := exec.Command(r.probe[0], r.probe[1:]...)
				probe.Dir = filepath.Dir(path)
				if out, err := probe.CombinedOutput(); err != nil {
					t.Skipf("this machine cannot run it: %v\n%s", err, out)
				}
				f(t, func(env ...string) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					cmd := exec.CommandContext(ctx, r.command[0], append(r.command[1:], filepath.Base(path))...)
					cmd.Dir = filepath.Dir(path)
					cmd.Env = append(append(os.Environ(), r.env...), env...)
					var stderr strings.Builder
					cmd.Stderr = &stderr
					out, err := cmd.Output()
					if want := promised(t, path); string(out) != want || err != nil {
						t.Errorf("%v\nprinted:\n%swant:\n%s%s", err, out, want, stderr.String())
					}
				})
			})
		}
	}
}

// promised is what the program's head says that it prints: the indented lines behind "Prints:".
func promised(t *testing.T, path string) string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want strings.Builder
	in := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimPrefix(strings.TrimPrefix(lines.Text(), "//"), "#")
		switch {
		case strings.HasSuffix(line, "Prints:"):
			in = true
		case in && strings.HasPrefix(line, "  "):
			want.WriteString(strings.TrimSpace(line) + "\n")
		case in:
			return want.String()
		}
	}
	t.Fatalf("%s does not say what it prints", path)
	return ""
}
