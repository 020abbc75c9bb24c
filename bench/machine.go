package main

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"holdfast/bench/internal/result"
)

// machine is what this runs on.
func machine() result.Machine {
	m := result.Machine{CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version()}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.MemoryGB = math.Round(float64(info.Totalram) * float64(info.Unit) / 1e9)
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = "Linux " + string(bytes.TrimSpace(kernel))
	out, _ := exec.Command("redis-server", "--version").Output()
	// Redis server v=7.0.15 sha=…
	name, rest, _ := strings.Cut(string(out), " server v=")
	m.Server = name + " " + strings.SplitN(rest, " ", 2)[0]
	return m
}

func procField(path, name string) string {
	data, _ := os.ReadFile(path)
	for l := range strings.Lines(string(data)) {
		if k, v, _ := strings.Cut(l, ":"); strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// commit names the source, as far as it is known.
func commit() string {
	out, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	return string(bytes.TrimSpace(out))
}

// most is how many connections this process and a server can have beside each
// other, if n are wanted: each is a file to both.
func most(n int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return n
	}
	return min(n, int(limit.Cur)-500)
}
