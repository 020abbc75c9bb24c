package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A flag is registered with the address of a variable or field, which something must read.
func TestNoFlagIsWithoutEffect(t *testing.T) {
	var files []*ast.File
	fields := map[string]int{} // how often a field is named, registrations aside
	for _, pattern := range []string{"*.go", "../internal/*/*.go", "../../internal/*/*.go", "../../lock/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					fields[s.Sel.Name]++
				}
				_, _, is := registration(n)
				return !is
			})
		}
	}
	registered := 0
	for _, file := range files {
		for _, decl := range file.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				target, flag, is := registration(n)
				if !is {
					return true
				}
				registered++
				switch x := target.(type) {
				case *ast.SelectorExpr:
					if fields[x.Sel.Name] == 0 {
						t.Errorf("--%s: nothing reads the field %s", flag, x.Sel.Name)
					}
				case *ast.Ident:
					if uses(decl, x.Name) == 0 {
						t.Errorf("--%s: nothing reads %s", flag, x.Name)
					}
				}
				return true
			})
		}
	}
	if registered < 100 {
		t.Errorf("only %d flags were found", registered)
	}
}

// registration is a call like fl.IntVar(&target, "flag", …).
func registration(n ast.Node) (target ast.Expr, flag string, is bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 3 {
		return nil, "", false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.HasSuffix(method.Sel.Name, "Var") && !strings.HasSuffix(method.Sel.Name, "VarP") {
		return nil, "", false
	}
	address, ok := call.Args[0].(*ast.UnaryExpr)
	name, isText := call.Args[1].(*ast.BasicLit)
	if !ok || address.Op != token.AND || !isText {
		return nil, "", false
	}
	return address.X, strings.Trim(name.Value, `"`), true
}

// uses counts where a declaration names a variable, its declaration and its registration aside.
func uses(decl ast.Decl, name string) (n int) {
	ast.Inspect(decl, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.ValueSpec: // var name T, which is counted below
			for _, v := range x.Names {
				if v.Name == name {
					n--
				}
			}
		case *ast.Ident:
			if x.Name == name {
				n++
			}
		}
		_, _, is := registration(node)
		return !is
	})
	return n
}
