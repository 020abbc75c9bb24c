//go:build linux

package redismodule_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// slacks are the timer slacks of a process's threads in ns, by their names; those of the Go runtime are
// called as the server is.
func slacks(t *testing.T, pid int) (main string, others map[string][]string) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatal(tasks, err)
	}
	others = map[string][]string{}
	for _, task := range tasks {
		id := filepath.Base(task)
		slack, err := os.ReadFile("/proc/" + id + "/timerslack_ns")
		if os.IsPermission(err) || os.IsNotExist(err) {
			t.Skip(err)
		}
		name, _ := os.ReadFile(task + "/comm")
		if id == fmt.Sprint(pid) {
			main = strings.TrimSpace(string(slack))
		} else {
			of := strings.TrimSpace(string(name))
			others[of] = append(others[of], strings.TrimSpace(string(slack)))
		}
	}
	return main, others
}

// The Go runtime's watch over its threads would keep half a core busy under a server with light traffic.
func TestTheThreadsOfGoMaySleepLateAndNoThreadOfTheServer(t *testing.T) {
	own, _ := slacks(t, os.Getpid())
	s, _ := server(t, "probe")
	main, others := slacks(t, s.PID())
	if main != own {
		t.Errorf("the server's main thread may sleep %s ns too long, want %s", main, own)
	}
	late := 0
	for name, all := range others {
		for _, slack := range all {
			switch {
			case slack == "1000000":
				late++
			case slack != own:
				t.Errorf("%s may sleep %s ns too long", name, slack)
			}
			if strings.HasPrefix(name, "bio_") && slack != own {
				t.Errorf("%s, a thread of the server, may sleep %s ns too long", name, slack)
			}
		}
	}
	if late < 2 {
		t.Errorf("the threads of Go may not sleep late: %v", others)
	}
}
