package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"holdfast/bench/internal/result"
)

// costOfGo: the same three commands in C and in Go, in one server; and how often
// the modules' commands call out of Go.
func costOfGo(b *Bench) error {
	c, err := buildC()
	if err != nil {
		return err
	}
	names := []string{"gonoop", "cachelock", "taskqueue", "distlock"}
	modules, err := buildGo(names)
	if err != nil {
		return err
	}
	s, err := start(append(modules, c))
	if err != nil {
		return err
	}
	defer s.Close()
	do(s, "SET", "page", payload)
	cpu := func(stat string, n int, words func(i int) []string) func() float64 {
		return func() float64 {
			s.run("FLUSHALL")
			do(s, "SET", "page", payload)
			s.resetStats()
			s.load(n, 100, words)
			return s.cpuPerCall(stat)
		}
	}
	n := b.size(200_000)
	for _, what := range []struct {
		name  string
		words func(i int) []string
	}{
		{"noop", func(int) []string { return []string{""} }},
		{"get", func(int) []string { return []string{"", "page"} }},
		{"acquire", func(i int) []string { return []string{"", page(i), owner, "600000"} }},
	} {
		in := func(module string) func() float64 {
			command := module + "." + what.name
			return cpu(command, n, func(i int) []string {
				words := what.words(i)
				words[0] = command
				return words
			})
		}
		f := b.Compare(what.name, "µs of server CPU", "in C", nil, in("gonoop"), in("cnoop"))
		var goal *result.Goal
		if what.name == "noop" {
			goal = AtMost(0.15)
		}
		b.Above(what.name+", Go above C", "µs of server CPU", goal, f)
	}
	// What of the cost of a lock is the server's own: the writes alone, in C, without
	// a token, a record and a look at who waits.
	locks := b.size(50_000)
	inC := cpu("cnoop.acquire", locks, func(i int) []string { return []string{"cnoop.acquire", page(i), owner, "600000"} })
	b.Compare("LOCK.ACQUIRE", "µs of server CPU", "its writes alone, in C", nil,
		cpu("lock.acquire", locks, func(i int) []string { return []string{"lock.acquire", page(i), owner, "600000"} }), inC)
	b.Compare("the writes of LOCK.ACQUIRE, in C", "µs of server CPU", "SET NX PX", nil,
		inC, cpu("set", locks, func(i int) []string { return []string{"set", page(i), owner, "NX", "PX", "600000"} }))
	s.run("FLUSHALL")
	do(s, "SET", "page", payload)
	crossings(b, s)
	return nil
}

// crossings: how often a command calls from Go into C. It enters Go once, or not
// at all where this is 0 and the server is answered in C alone.
func crossings(b *Bench, s *Server) {
	const n = 1000
	calls := func() float64 { return float64(do(s, "GONOOP.CALLS").(int64)) }
	own := -calls() + calls()
	var ids []any
	for _, c := range []struct {
		name string
		run  func(i int)
	}{
		{"a command that does nothing", func(int) { do(s, "GONOOP.NOOP") }},
		{"LOCK.ACQUIRE", func(i int) { do(s, "LOCK.ACQUIRE", page(i), owner, 600_000) }},
		{"LOCK.EXTEND", func(i int) { do(s, "LOCK.EXTEND", page(i), owner, 600_000) }},
		{"LOCK.RELEASE", func(i int) { do(s, "LOCK.RELEASE", page(i), owner) }},
		{"CACHE.GET", func(int) { do(s, "CACHE.GET", "page") }},
		{"CACHE.FETCH, hit", func(int) { do(s, "CACHE.FETCH", "page", 5000, 10_000, "BLOCK", 0) }},
		{"CACHE.LOCK, LOAD", func(i int) { do(s, "CACHE.LOCK", page(i), 600_000, 600_000) }},
		{"CACHE.SET", func(i int) { do(s, "CACHE.SET", page(i), payload, 600_000) }},
		{"TASK.PUBLISH", func(int) { do(s, "TASK.PUBLISH", "s", payload) }},
		{"TASK.CONSUME, 1 task", func(int) { ids = append(ids, entries(do(s, "TASK.CONSUME", "g", "c", "s", 1))[0].([]any)[0]) }},
		{"TASK.ACK", func(i int) { do(s, "TASK.ACK", "s", "g", ids[i]) }},
	} {
		before := calls()
		for i := range n {
			c.run(i)
		}
		b.alone("calls out of Go for "+c.name, "", nil, (calls()-before-own)/n)
	}
}

// buildC compiles the module in C and answers its path.
func buildC() (string, error) {
	dir, err := os.MkdirTemp("", "cmodule-")
	if err != nil {
		return "", err
	}
	so := filepath.Join(dir, "cnoop.so")
	return so, build("gcc", "-O2", "-shared", "-fPIC", "-o", so, "cmodule/cnoop.c")
}

// buildGo compiles the library of gomodule, and an entry point for each of its
// modules as make build does for those of the product.
func buildGo(names []string) (paths []string, err error) {
	dir, err := os.MkdirTemp("", "gomodule-")
	if err != nil {
		return nil, err
	}
	exports, err := filepath.Abs("../modules/library/exports.map")
	if err != nil {
		return nil, err
	}
	if err := build(cmp.Or(os.Getenv("GO"), "go"), "build", "-buildmode=c-shared", "-ldflags", "-extldflags '-Wl,-soname,libgomodule.so -Wl,--version-script="+exports+"'",
		"-o", filepath.Join(dir, "libgomodule.so"), "./gomodule"); err != nil {
		return nil, err
	}
	for _, name := range names {
		so := filepath.Join(dir, name+".so")
		if err := build("gcc", "-O2", "-shared", "-fPIC", "-DMODULE="+name, "-o", so, "../modules/entry/entry.c",
			"-L"+dir, "-lgomodule", "-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags"); err != nil {
			return nil, err
		}
		paths = append(paths, so)
	}
	// The server refuses what is not executable.
	return paths, os.Chmod(filepath.Join(dir, "libgomodule.so"), 0o755)
}

func build(words ...string) error {
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
	}
	return nil
}
