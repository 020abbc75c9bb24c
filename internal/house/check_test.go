package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scripts/check runs some tests once more by their names. A name that fits no test would
// be run nowhere, and nobody would notice.
func TestTheTestsThatCheckNamesAreThere(t *testing.T) {
	script, err := os.ReadFile("../../scripts/check")
	if err != nil {
		t.Fatal(err)
	}
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
	named := 0
	for line := range strings.Lines(string(script)) {
		name := strings.TrimSpace(line)
		if !strings.HasPrefix(name, "Test") {
			continue
		}
		named++
		if !strings.Contains(tests.String(), "\nfunc "+name) {
			t.Errorf("scripts/check names %s, and e2e has no such test", name)
		}
	}
	if named == 0 {
		t.Error("scripts/check names no test")
	}
}
