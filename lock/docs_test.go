package lock_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blocks are the blocks of a language in a page of the docs.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("docs/%s has no %s", page, language)
	}
	return all
}

// user is an empty folder of somebody else, and how its commands are run.
func user(t *testing.T, addr string) (dir string, sh func(script string) string) {
	t.Helper()
	dir = t.TempDir()
	home, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir, func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOLDFAST="+home, "REDIS="+addr, "GOWORK=off", "GOFLAGS=-mod=mod")
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, errs.String())
		}
		return string(out)
	}
}

func write(t *testing.T, dir, program string) {
	t.Helper()
	if !strings.HasPrefix(program, "package main\n") {
		t.Fatal("the first Go in the page is no program")
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
}

// docs/go.md is played as it stands there, from an empty folder.
func TestAnEmptyFolderBecomesARunningProgram(t *testing.T) {
	s := start(t)
	dir, sh := user(t, s.Addr)
	steps := blocks(t, "go.md", "sh")
	sh(steps[0])
	write(t, dir, blocks(t, "go.md", "go")[0])
	if said := sh(steps[1]); said != "nobody else says hello now\n" {
		t.Errorf("it said %q", said)
	}
	// The module graph has go-redis, which requires what it does, and nothing of our tests,
	// tool or server, not even what is built into nothing.
	requires := map[string][]string{}
	for line := range strings.Lines(sh("go mod graph")) {
		who, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		requires[module(who)] = append(requires[module(who)], module(what))
	}
	allowed := map[string]bool{"holdfast": true, "go": true, "toolchain": true}
	var allow func(name string)
	allow = func(name string) {
		if !allowed[name] {
			allowed[name] = true
			for _, other := range requires[name] {
				allow(other)
			}
		}
	}
	allow("github.com/redis/go-redis/v9")
	if len(requires["holdfast"]) == 0 {
		t.Error("holdfast requires nothing")
	}
	for _, who := range []string{"example.com/hello", "holdfast"} {
		for _, what := range requires[who] {
			if !allowed[what] {
				t.Errorf("a user's module graph has %s", what)
			}
		}
	}
}

// module is a module's path without its version.
func module(name string) string {
	path, _, _ := strings.Cut(name, "@")
	return path
}

// The program with which docs/locks.md begins runs as it stands there.
func TestTheProgramInTheDocsRuns(t *testing.T) {
	s := start(t)
	dir, sh := user(t, s.Addr)
	sh("go mod init example.com/hello; go mod edit -replace holdfast=$HOLDFAST; ")
	write(t, dir, blocks(t, "locks.md", "go")[0])
	want := "writing the report, token above 0: true\nanother machine: true\nholding [{account}:7 {account}:8]\nmy turn\n"
	if said := sh("go get holdfast/lock; go run ."); said != want {
		t.Errorf("it said %q, want %q", said, want)
	}
}
