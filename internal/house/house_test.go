// Package house holds the rules of the house that a compiler does not: who may
// depend on whom. It has no code of its own.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath string
	Dir        string
	CgoFiles   []string
	GoFiles    []string
	Imports    []string
	Standard   bool
}

// list asks the go command about packages.
func list(t *testing.T, args ...string) (all []pkg) {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,CgoFiles,GoFiles,Imports,Standard"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestOnlyTheBindingImportsC(t *testing.T) {
	for _, p := range list(t, "holdfast/...") {
		if len(p.CgoFiles) > 0 && p.ImportPath != "holdfast/redismodule" {
			t.Errorf("%s imports C in %v", p.ImportPath, p.CgoFiles)
		}
	}
}

func TestTheLibraryNeedsTheStandardLibraryAlone(t *testing.T) {
	for _, p := range list(t, "-deps", "holdfast/modules/library") {
		if !p.Standard && !strings.HasPrefix(p.ImportPath, "holdfast/") {
			t.Errorf("libholdfast.so has %s in it", p.ImportPath)
		}
	}
}

// Whoever takes a client takes go-redis with it (and what that needs itself),
// and nothing else.
func TestTheClientsNeedTheStandardLibraryAndGoRedisAlone(t *testing.T) {
	shared := []string{"holdfast/internal/blocking", "holdfast/internal/codec"}
	for client, others := range map[string][]string{
		"holdfast/lock": nil, "holdfast/cache": nil, "holdfast/queue": {"holdfast/lock"},
		"holdfast/dashboard": {"holdfast/cache", "holdfast/lock", "holdfast/queue", "holdfast/internal/doctor", "holdfast/internal/where"},
	} {
		ours := 0
		for _, p := range list(t, "-deps", client) {
			if !strings.HasPrefix(p.ImportPath, "holdfast/") {
				continue
			}
			ours++
			if p.ImportPath != client && !slices.Contains(shared, p.ImportPath) && !slices.Contains(others, p.ImportPath) {
				t.Errorf("%s needs %s", client, p.ImportPath)
			}
			for _, imported := range p.Imports {
				domain, _, _ := strings.Cut(imported, "/")
				if strings.Contains(domain, ".") && !strings.HasPrefix(imported+"/", "github.com/redis/go-redis/v9/") {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
		if ours == 0 {
			t.Errorf("go list knows no %s", client)
		}
	}
}
