package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// TestTheRecipesOfThePageWork plays the sh blocks of docs/tool.md one after another, on one server.
func TestTheRecipesOfThePageWork(t *testing.T) {
	page, err := os.ReadFile("../../docs/tool.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := holdfasttest.Server(t)
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 8 {
		t.Fatalf("%d recipes", len(blocks))
	}
	for _, block := range blocks {
		cmd := exec.Command("sh", "-eu", "-c", block[1])
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "REDIS_URL=redis://"+s.Addr, "XDG_CONFIG_HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			// A worker that timeout ended exits with 124, and has done its work.
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 124 || !strings.Contains(block[1], "timeout ") {
				t.Fatalf("%v\n%s\nprinted:\n%s", err, block[1], out)
			}
		}
		t.Logf("%s\n%s", block[1], out)
	}
}
