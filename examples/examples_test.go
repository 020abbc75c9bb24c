// Package examples runs the programs that the pages about other languages show.
package examples

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
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

func TestEachExamplePrintsWhatItSays(t *testing.T) {
	for _, r := range runners(t) {
		programs, err := filepath.Glob(r.pattern)
		if err != nil || len(programs) == 0 {
			t.Fatalf("no %s: %v", r.pattern, err)
		}
		for _, path := range programs {
			t.Run(path, func(t *testing.T) {
				probe := exec.Command(r.probe[0], r.probe[1:]...)
				probe.Dir = filepath.Dir(path)
				if out, err := probe.CombinedOutput(); err != nil {
					t.Skipf("this machine cannot run it: %v\n%s", err, out)
				}
				s := holdfasttest.Server(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, r.command[0], append(r.command[1:], filepath.Base(path))...)
				cmd.Dir = filepath.Dir(path)
				cmd.Env = append(append(os.Environ(), "REDIS_URL=redis://"+s.Addr), r.env...)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if want := promised(t, path); string(out) != want || err != nil {
					t.Errorf("%v\nprinted:\n%swant:\n%s%s", err, out, want, stderr.String())
				}
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
