// Command holdfast starts servers with the modules of Holdfast in them and
// tells how to load them elsewhere.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when the tool is built.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole tool; its result is the exit code: 0, or 1 after an error.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "Error:", err)
	fmt.Fprintln(stderr, "Try:  ", hintOf(err, cmd))
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Locks, a stampede-free cache and a task queue inside the Redis or Valkey you run",
		Long: `Holdfast is three modules for Redis and Valkey: cachelock, taskqueue and
distlock. This tool starts a server with them, shows them at work, and prints
what to put into the redis.conf of a server of your own.`,
		Example: `  holdfast serve --tour          a server on a free port, and the guide played on it
  holdfast serve --port 7000     a server on port 7000
  holdfast modules               the loadmodule lines for redis.conf
  holdfast docs lock.acquire     what a command takes and answers`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(), newModules(), newDocs(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this tool",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "holdfast %s (%s/%s, %s)\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
}

// hintError is an error and what to do about it.
type hintError struct {
	error
	hint string
}

func (e hintError) Unwrap() error { return e.error }

// try adds to an error what mends it: a command, or a sentence without a
// capital and a full stop.
func try(err error, hint string) error { return hintError{err, hint} }

// hintOf is the error's hint, or else the help of the command that failed.
func hintOf(err error, cmd *cobra.Command) string {
	if h, ok := errors.AsType[hintError](err); ok {
		return h.hint
	}
	return cmd.CommandPath() + " --help"
}
