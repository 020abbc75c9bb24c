package main

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What packages are made of, and for which machines.
var (
	moduleArchs = []string{"amd64", "arm64"}
	toolTargets = [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}
	modules     = []string{"libholdfast.so", "cachelock.so", "taskqueue.so", "distlock.so"}
	compilers   = map[string]string{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}
)

// oldestGlibc is the oldest C library that a module may need. The package depends on it, and
// docs/install.md names it; Ubuntu 22.04 has 2.35 and Debian 12 has 2.36.
const oldestGlibc = "2.34"

func (d *dist) lib(arch string) string { return filepath.Join(d.work, "lib", arch) }
func (d *dist) tool(os, arch string) string {
	return filepath.Join(d.work, "tool", os+"_"+arch, "holdfast")
}
func (d *dist) copier(arch string) string { return filepath.Join(d.work, "copy", arch, "copy") }

// build compiles the modules and the tool for every machine.
func (d *dist) build() error {
	for _, arch := range moduleArchs {
		if err := d.buildModules(arch); err != nil {
			return err
		}
		if err := d.goBuild(filepath.Join(d.source, "scripts", "dist"), d.copier(arch), "./copy", "linux", arch); err != nil {
			return err
		}
	}
	for _, t := range toolTargets {
		if err := d.goBuild(filepath.Join(d.source, "cmd"), d.tool(t[0], t[1]), "./holdfast", t[0], t[1]); err != nil {
			return err
		}
	}
	return nil
}

// goBuild builds a static program.
func (d *dist) goBuild(dir, out, pkg, goos, arch string) error {
	return run(dir, []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + arch},
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid= -X main.version="+d.version, "-o", out, pkg)
}

// buildModules builds the library and its three entry points with the Makefile's own rules.
func (d *dist) buildModules(arch string) error {
	cc := compilers[arch]
	if _, err := exec.LookPath(cc); err != nil {
		return fmt.Errorf("no %s: install gcc-%s", cc, strings.ReplaceAll(strings.TrimSuffix(cc, "-gcc"), "_", "-"))
	}
	dir := d.lib(arch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	targets := make([]string, len(modules))
	for i, m := range modules {
		targets[i] = filepath.Join(dir, m)
	}
	env := []string{"GOARCH=" + arch, "CC=" + cc}
	if err := run(d.source, env, "make", append([]string{"--no-print-directory", "BUILD=" + dir, "CC=" + cc}, targets...)...); err != nil {
		return err
	}
	for _, path := range targets {
		if err := check(path, arch); err != nil {
			return err
		}
	}
	return nil
}

// check tests what a server will test when it loads a module: machine, C library and mode.
func check(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want {
		return fmt.Errorf("%s is for %v", path, f.Machine)
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if v, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && newer(v, oldestGlibc) {
			return fmt.Errorf("%s needs %s of glibc %s, later than %s", path, s.Name, v, oldestGlibc)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != 0o755 {
		return fmt.Errorf("%s has mode %o: servers refuse a module that is not executable", path, info.Mode().Perm())
	}
	return nil
}

// newer reports whether version a, such as 2.34, is newer than b.
func newer(a, b string) bool {
	var x, y [3]int
	_, _ = fmt.Sscanf(a, "%d.%d.%d", &x[0], &x[1], &x[2])
	_, _ = fmt.Sscanf(b, "%d.%d.%d", &y[0], &y[1], &y[2])
	for i := range x {
		if x[i] != y[i] {
			return x[i] > y[i]
		}
	}
	return false
}

func run(dir string, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
