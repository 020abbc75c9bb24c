package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/redismodule"
)

const folder = "../../../docs/commands"

func TestTheWrittenReferenceIsWhatTheModulesSay(t *testing.T) {
	files, err := generate(modules)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale, run make generate (-the modules, +the page):\n%s", name, diff)
		}
	}
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if files[f.Name()] == nil {
			t.Errorf("%s describes nothing that is there", f.Name())
		}
	}
}

func TestEveryCommandIsDescribedInFull(t *testing.T) {
	for _, m := range modules {
		for _, c := range m.Commands {
			for what, missing := range map[string]bool{
				"summary":    c.Summary == "",
				"complexity": c.Complexity == "",
				"since":      c.Since == "",
				"reply":      c.Reply == "",
				"categories": c.Categories == "",
				"arguments":  c.Arity != 1 && len(c.Args) == 0,
				"a flag that says whether it writes": !strings.Contains(" "+c.Flags+" ", " write ") && !strings.Contains(" "+c.Flags+" ", " readonly ") &&
					!strings.Contains(c.Name, "list"),
			} {
				if missing {
					t.Errorf("%s has no %s", c.Name, what)
				}
			}
		}
		for _, c := range m.Configs {
			if c.Summary == "" {
				t.Errorf("the setting %s.%s has no summary", m.Name, c.Name)
			}
		}
	}
}

// As the server's own: who forbids a category forbids these commands too.
func TestCategoriesFollowFlags(t *testing.T) {
	for _, m := range modules {
		for _, c := range m.Commands {
			flags, categories := strings.Fields(c.Flags), strings.Fields(c.Categories)
			waits := slices.ContainsFunc(c.Args, func(a redismodule.Argument) bool { return strings.HasPrefix(a.Name, "block") })
			if slices.Contains(flags, "blocking") != waits {
				t.Errorf("%s with the flags %q: it waits is %v", c.Name, flags, waits)
			}
			for category, want := range map[string]bool{
				"read":     slices.Contains(flags, "readonly"),
				"write":    slices.Contains(flags, "write"),
				"fast":     slices.Contains(flags, "fast"),
				"slow":     !slices.Contains(flags, "fast"),
				"blocking": waits,
			} {
				if slices.Contains(categories, category) != want {
					t.Errorf("%s with the flags %q is in %q", c.Name, flags, categories)
				}
			}
		}
	}
}

func TestUsageReadsAsTheServersOwnHelp(t *testing.T) {
	c := redismodule.Command{Name: "a.b", Args: []redismodule.Argument{
		{Name: "key", Type: redismodule.ArgKey},
		{Name: "mode", Type: redismodule.ArgOneOf, Optional: true, Args: []redismodule.Argument{
			{Name: "shared", Type: redismodule.ArgToken},
			{Name: "n", Token: "LIMIT", Type: redismodule.ArgInteger},
		}},
		{Name: "headers", Type: redismodule.ArgBlock, Token: "HEADERS", Optional: true, Args: []redismodule.Argument{
			{Name: "count", Type: redismodule.ArgInteger},
			{Name: "name", Multiple: true},
		}},
	}}
	want := "A.B key [SHARED | LIMIT n] [HEADERS count name [name …]]"
	if got := usage(&c); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
