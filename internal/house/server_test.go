package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// each calls look for every node of the syntax of our packages that the server
// loads.
func each(t *testing.T, look func(p pkg, at token.Position, n ast.Node)) {
	files := token.NewFileSet()
	for _, p := range list(t, "modules", "-deps", "./library") {
		if p.Standard {
			continue
		}
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if n != nil {
					look(p, files.Position(n.Pos()), n)
				}
				return true
			})
		}
	}
}

// A goroutine that panics ends the server, and none may touch it.
func TestNothingInTheServerStartsAGoroutine(t *testing.T) {
	each(t, func(_ pkg, at token.Position, n ast.Node) {
		if _, ok := n.(*ast.GoStmt); ok {
			t.Errorf("%s: a goroutine", at)
		}
	})
}

// What decides neither reads a clock nor draws a random number, so that a test
// can give both.
func TestTheCoresAreToldTimeAndChance(t *testing.T) {
	clocks := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
	each(t, func(p pkg, at token.Position, n ast.Node) {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || !strings.Contains(p.ImportPath, "/internal/") {
			return
		}
		x, ok := s.X.(*ast.Ident)
		if ok && (x.Name == "time" && slices.Contains(clocks, s.Sel.Name) || x.Name == "rand" && s.Sel.Name != "New") {
			t.Errorf("%s: %s.%s", at, x.Name, s.Sel.Name)
		}
	})
}
