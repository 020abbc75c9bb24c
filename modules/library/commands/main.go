// Command commands writes the reference of Holdfast's commands from the modules
// themselves: a page per module, and commands.json in the form that Redis uses
// for its own. Run it by make generate; a test fails while they are stale.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"holdfast/modules/cachelock"
	"holdfast/modules/distlock"
	"holdfast/modules/taskqueue"
	"holdfast/redismodule"
)

var modules = []*redismodule.Module{&cachelock.Module, &taskqueue.Module, &distlock.Module}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: commands FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	files, err := generate(modules)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate makes the files of the reference, by name.
func generate(modules []*redismodule.Module) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, m := range modules {
		files[m.Name+".md"] = page(m)
	}
	var err error
	files["commands.json"], err = catalogue(modules)
	return files, err
}
