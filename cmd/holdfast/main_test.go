package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/internal/redisserver"
)

// holdfast in the scripts, and for exec.Command in the tests, is this test's own program.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"holdfast": main}) }

func TestTheTool(t *testing.T) { runScripts(t, testscript.Params{Dir: "testdata"}, startServer) }

// runScripts runs scripts in which the command server [option…] does what server does.
func runScripts(t *testing.T, p testscript.Params, server func(ts *testscript.TestScript, args []string)) {
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("HOLDFAST_MODULES", filepath.Dir(modules[0]))
		env.Setenv("HOLDFAST_SERVER", os.Getenv("HOLDFAST_SERVER"))
		env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
		return nil
	}
	p.Cmds = map[string]func(*testscript.TestScript, bool, []string){
		"server": func(ts *testscript.TestScript, _ bool, args []string) { server(ts, args) },
	}
	p.Condition = func(name string) (bool, error) {
		if name != "faulty" {
			return false, fmt.Errorf("no condition %q", name)
		}
		return faulty(), nil
	}
	testscript.Run(t, p)
}

// faulty reports whether the server has a fault of its own, of which doctor warns.
func faulty() bool {
	version, _ := exec.Command(cmp.Or(os.Getenv("HOLDFAST_SERVER"), "redis-server"), "--version").Output()
	return strings.Contains(string(version), "Valkey") && strings.Contains(string(version), "v=8.1.1 ")
}

// startServer starts a server with the modules, whose URL is in REDIS_URL from then on. It ends with the
// script.
func startServer(ts *testscript.TestScript, args []string) {
	modules, err := redisserver.Modules()
	ts.Check(err)
	binary := cmp.Or(os.Getenv("HOLDFAST_SERVER"), "redis-server")
	dir := ts.MkAbs("server-data")
	ts.Check(os.MkdirAll(dir, 0o755))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{Binary: binary, Modules: modules, Dir: dir, Args: args})
	ts.Check(err)
	ts.Defer(func() { p.Stop() })
	ts.Setenv("REDIS_URL", "redis://"+p.Addr)
}
