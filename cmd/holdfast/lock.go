package main

import "github.com/spf13/cobra"

func newLock() *cobra.Command {
	return parent("lock", "Look at locks, and run a command while holding one",
		"Look at locks, who holds them and who waits in line, and run any command while holding one.",
		newLockRun())
}
