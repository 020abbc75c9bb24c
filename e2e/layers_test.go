package e2e

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath, Dir   string
	Standard          bool
	CgoFiles, GoFiles []string
	Imports           []string
}

func goList(t *testing.T, args ...string) (all []goPackage) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Standard,CgoFiles,GoFiles,Imports"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// ofTheLibrary are our packages that the server loads.
func ofTheLibrary(t *testing.T) []goPackage {
	return slices.DeleteFunc(goList(t, "-deps", "./modules/library"), func(p goPackage) bool { return p.Standard })
}

func TestOnlyTheBindingImportsC(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if len(p.CgoFiles) > 0 && p.ImportPath != "holdfast/redismodule" {
			t.Errorf(`%s imports "C" in %v`, p.ImportPath, p.CgoFiles)
		}
	}
}

func TestTheLibraryLinksTheStandardLibraryAlone(t *testing.T) {
	for _, p := range ofTheLibrary(t) {
		if !strings.HasPrefix(p.ImportPath, "holdfast/") {
			t.Errorf("%s is linked into what the server loads", p.ImportPath)
		}
	}
}

func TestTheDoorsOpenOneWay(t *testing.T) {
	for _, p := range goList(t, "./...") {
		for _, imported := range p.Imports {
			in := func(room string) bool { return strings.HasPrefix(p.ImportPath, "holdfast/"+room) }
			to := func(room string) bool { return strings.HasPrefix(imported, "holdfast/"+room) }
			switch {
			case in("internal/") && (to("redismodule") || to("modules/")),
				in("redismodule") && to("modules/"),
				in("modules/") && !in("modules/library") && to("modules/") && imported != "holdfast/modules/syntax",
				in("cmd/") && (to("redismodule") || to("modules/")):
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

func TestNothingInTheServerStartsAGoroutine(t *testing.T) {
	files := token.NewFileSet()
	for _, p := range ofTheLibrary(t) {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s: a goroutine", files.Position(n.Pos()))
				}
				return true
			})
		}
	}
}

// TestTheCoresAreToldTimeAndChance: what decides neither reads a clock nor draws
// a random number, so that a test can give both.
func TestTheCoresAreToldTimeAndChance(t *testing.T) {
	files := token.NewFileSet()
	for _, p := range ofTheLibrary(t) {
		if !strings.HasPrefix(p.ImportPath, "holdfast/internal/") {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "math/rand") || imported == "crypto/rand" || imported == "os" || imported == "net" {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "Tick"}, s.Sel.Name) {
						t.Errorf("%s: time.%s", files.Position(n.Pos()), s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}
