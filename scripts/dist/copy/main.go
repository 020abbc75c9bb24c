// copy is the entry point of the image holdfast-modules: it copies the modules beside it into a
// folder, for an init container of a pod whose server has an image of its own.
//
//	copy /holdfast
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: copy FOLDER", "copy /holdfast, where a volume is mounted that the server's container mounts too")
	}
	files, err := filepath.Glob("/usr/lib/holdfast/*.so")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no modules in /usr/lib/holdfast")
	}
	for _, from := range files {
		if err != nil {
			break
		}
		err = install(from, filepath.Join(os.Args[1], filepath.Base(from)))
	}
	if err != nil {
		fail(err.Error(), "mount a writable volume at "+os.Args[1])
	}
}

// install writes beside the file and renames: a server may have the old one mapped.
func install(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", b, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(to+".new", 0o755); err != nil { // whatever the umask is
		return err
	}
	fmt.Println(to)
	return os.Rename(to+".new", to)
}

func fail(what, try string) {
	fmt.Fprintf(os.Stderr, "copy: %s\nTry: %s\n", what, try)
	os.Exit(1)
}
