package cache_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block is the first code block of a language in a page.
func block(t *testing.T, page, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "```"+language+"\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("no block of %s", language)
	}
	return text
}

func TestTheProgramInTheDocsPrintsWhatTheDocsSay(t *testing.T) {
	s := start(t)
	page, err := os.ReadFile("../docs/cache.md")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(program, []byte(block(t, string(page), "go")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gofmt", "-l", program).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: %s %v", out, err)
	}
	run := exec.Command("go", "run", program)
	run.Env = append(os.Environ(), "REDIS="+s.Addr)
	out, err := run.CombinedOutput()
	if want := block(t, string(page), "text"); err != nil || string(out) != want {
		t.Errorf("%v: it prints\n%s\nand not\n%s", err, out, want)
	}
}
