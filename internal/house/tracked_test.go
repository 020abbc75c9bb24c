package house

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// media are the endings of files that may hold other bytes than text.
var media = []string{".gif", ".ico", ".jpg", ".png", ".webp", ".woff2"}

// A link that leaves the tree is broken for everyone but its author, and what a
// build leaves behind stays in the history for ever.
func TestGitHoldsNoBinariesAndNoLinksOutOfTheTree(t *testing.T) {
	root, files := tracked(t)
	if len(files) == 0 {
		t.Fatal("git knows no files")
	}
	for _, name := range files {
		path := filepath.Join(root, name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, os.ErrNotExist): // deleted, and not committed yet
		case err != nil:
			t.Error(err)
		case info.Mode()&os.ModeSymlink != 0:
			target, err := filepath.EvalSymlinks(path)
			if err != nil || !strings.HasPrefix(target, root+string(filepath.Separator)) {
				t.Errorf("%s is a link to %q, which is not in the tree (%v)", name, target, err)
			}
		case strings.HasPrefix(name, "e2e/testdata/upgrade/"): // what earlier versions wrote
		case binary(t, path) && !slices.Contains(media, filepath.Ext(name)):
			t.Errorf("%s is a binary", name)
		}
	}
}

// tracked is the root of the work tree and the files that git knows in it.
func tracked(t *testing.T) (root string, files []string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skip("this is no checkout of git")
	}
	root, err = filepath.EvalSymlinks(strings.TrimSpace(string(top)))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	return root, strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
}

// binary reports whether a file has a zero byte near its beginning, as git does.
func binary(t *testing.T, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 8000)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return bytes.IndexByte(head[:n], 0) >= 0
}
