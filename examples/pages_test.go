package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shown is a program on a page: a link to its file, and its text.
var shown = regexp.MustCompile("(?s)\\]\\(\\.\\./\\.\\./examples/([a-z]+/[a-z_]+\\.[a-z]+)\\):\n\n```[a-z]+\n(.*?)```\n")

func TestThePagesShowTheProgramsThatRun(t *testing.T) {
	on := map[string]bool{}
	pages, err := filepath.Glob("../docs/clients/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range shown.FindAllStringSubmatch(string(text), -1) {
			on[m[1]] = true
			if program, err := os.ReadFile(m[1]); err != nil || string(program) != m[2] {
				t.Errorf("%s shows examples/%s, but not as it is (%v)", page, m[1], err)
			}
		}
	}
	for _, pattern := range []string{"node/*.mjs", "python/*.py", "shell/*.sh"} {
		programs, err := filepath.Glob(pattern)
		if err != nil || len(programs) == 0 {
			t.Fatal(pattern, err)
		}
		for _, program := range programs {
			if !on[strings.ReplaceAll(program, string(filepath.Separator), "/")] {
				t.Errorf("no page shows examples/%s", program)
			}
		}
	}
}
