package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheManualPagesAreCurrent(t *testing.T) {
	want := manPages(newRoot())
	if len(want) < 30 {
		t.Fatalf("%d pages", len(want))
	}
	have, err := filepath.Glob("../../docs/man/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if want[filepath.Base(path)] == "" {
			t.Errorf("%s is of no verb", path)
		}
	}
	for name, page := range want {
		text, err := os.ReadFile(filepath.Join("../../docs/man", name))
		if err != nil || string(text) != page {
			t.Errorf("docs/man/%s is not what the tool says: make generate (%v)", name, err)
		}
	}
}
