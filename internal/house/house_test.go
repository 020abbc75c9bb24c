// Package house holds the rules of the house that a compiler does not: who may
// depend on whom. It has no code of its own.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

type pkg struct {
	ImportPath string
	Dir        string
	CgoFiles   []string
	GoFiles    []string
	Imports    []string
	Standard   bool
}

// list asks the go command about packages, in the Go module of a folder of the project.
func list(t *testing.T, module string, args ...string) (all []pkg) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,CgoFiles,GoFiles,Imports,Standard"}, args...)...)
	cmd.Dir, cmd.Env = filepath.Join(root, module), append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, failed.Stderr)
		}
		t.Fatalf("go list %v in %s: %v", args, module, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
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

// ours are all packages of all Go modules of the project but the packager's, which is no
// part of the product.
func ours(t *testing.T) (all []pkg) {
	t.Helper()
	files, err := filepath.Glob(root + "/*/go.mod")
	if err != nil || len(files) < 4 {
		t.Fatalf("the project's Go modules: %v %v", files, err)
	}
	for _, f := range append(files, root+"/go.mod") {
		module, err := filepath.Rel(root, filepath.Dir(f))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list(t, module, "./...")...)
	}
	return all
}

func TestOnlyTheBindingImportsC(t *testing.T) {
	for _, p := range ours(t) {
		if len(p.CgoFiles) > 0 && p.ImportPath != "holdfast/redismodule" {
			t.Errorf("%s imports C in %v", p.ImportPath, p.CgoFiles)
		}
	}
}

func TestTheLibraryNeedsTheStandardLibraryAlone(t *testing.T) {
	for _, p := range list(t, "modules", "-deps", "./library") {
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
		"holdfast/dashboard": {"holdfast/cache", "holdfast/lock", "holdfast/queue", "holdfast/internal/doctor", "holdfast/internal/nodes", "holdfast/internal/shell", "holdfast/internal/where"},
	} {
		seen := 0
		for _, p := range list(t, ".", "-deps", client) {
			if !strings.HasPrefix(p.ImportPath, "holdfast/") {
				continue
			}
			seen++
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
		if seen == 0 {
			t.Errorf("go list knows no %s", client)
		}
	}
}
