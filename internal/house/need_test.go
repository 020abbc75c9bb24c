package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need runs scripts/need on a machine that has bash, sed and these programs alone.
func need(t *testing.T, programs []string, args ...string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range append([]string{"bash", "env", "sed"}, programs...) {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", append([]string{"scripts/need"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAMachineThatIsNotDebianIsToldWhatToInstall(t *testing.T) {
	out, err := need(t, nil, "cc", "redis-server")
	if want := "Please install what Debian calls gcc libc6-dev redis-server, then run make again.\n"; err == nil || out != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

func TestAMachineWithoutGoIsToldWhichGo(t *testing.T) {
	out, err := need(t, nil, "go")
	if err == nil || !strings.HasPrefix(out, "Please install Go 1.") || !strings.Contains(out, "or later (https://go.dev/doc/install)") {
		t.Errorf("%v: %q", err, out)
	}
}

func TestNothingIsInstalledWhereAllIsThere(t *testing.T) {
	if out, err := need(t, []string{"true"}, "true"); err != nil || out != "" {
		t.Errorf("%v: %q", err, out)
	}
}
