package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Some scripts run tests by their names. A name that fits no test would be run nowhere, and
// nobody would notice.
func TestTheTestsThatScriptsNameAreThere(t *testing.T) {
	files, err := filepath.Glob("../../e2e/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var tests strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	for _, file := range []string{"check", "sanitize"} {
		script, err := os.ReadFile("../../scripts/" + file)
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for line := range strings.Lines(string(script)) {
			name := strings.TrimSpace(line)
			if !strings.HasPrefix(name, "Test") {
				continue
			}
			named++
			if !strings.Contains(tests.String(), "\nfunc "+name) {
				t.Errorf("scripts/%s names %s, and e2e has no such test", file, name)
			}
		}
		if named == 0 {
			t.Errorf("scripts/%s names no test", file)
		}
	}
}
