package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/internal/redisserver"
)

// holdfast in the scripts is this test's own program.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"holdfast": main}) }

func TestTheTool(t *testing.T) {
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOLDFAST_MODULES", filepath.Dir(modules[0]))
			env.Setenv("HOLDFAST_SERVER", os.Getenv("HOLDFAST_SERVER"))
			return nil
		},
	})
}
