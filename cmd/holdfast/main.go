// Command holdfast shows and steers the locks, caches and queues of servers with the modules of
// Holdfast, runs commands under a lock or for each task, and starts such servers.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
)

// version is set when the tool is built.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole tool; its result is the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer exitAtSecondInterrupt()()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return cli.ExitDone
	}
	message, hint, code := cli.Describe(err)
	if ctx.Err() != nil && code == cli.ExitFailed {
		code = cli.ExitInterrupted
	}
	if message == "" || code == cli.ExitInterrupted {
		return code
	}
	if hint == "" {
		hint = cmd.CommandPath() + " --help"
	}
	fmt.Fprintln(stderr, "Error:", message)
	fmt.Fprintln(stderr, "Try:  ", hint)
	return code
}

// exitAtSecondInterrupt ends the process when Ctrl-C is pressed again, for a verb that takes long to
// finish in an orderly way. Signals that come together are one press: timeout(1) sends each twice.
func exitAtSecondInterrupt() (stop func()) {
	interrupts, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		var first time.Time
		for {
			select {
			case <-interrupts:
			case <-done:
				return
			}
			switch now := time.Now(); {
			case first.IsZero():
				first = now
			case now.Sub(first) > 500*time.Millisecond:
				os.Exit(cli.ExitInterrupted)
			}
		}
	}()
	return func() {
		signal.Stop(interrupts)
		close(done)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Locks, a stampede-free cache and a task queue inside the Redis or Valkey you run",
		Long: `Holdfast is three modules for Redis and Valkey: cachelock, taskqueue and
distlock. This tool starts a server with them, tells who holds what, who waits and
what failed, and steers it.

` + cli.ExitCodes,
		Example: `  holdfast serve --tour          a server on a free port, and the guide played on it
  holdfast serve --port 7000     a server on port 7000
  holdfast modules               the loadmodule lines for redis.conf
  holdfast doctor                is the server well, and if not, what cures it
  holdfast dash                  web pages: what is stuck, why it failed, run it again
  holdfast queue ls              the queues of the server on 127.0.0.1:6379
  holdfast lock run nightly -- ./backup.sh
  holdfast docs lock.acquire     what a command takes and answers`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(&cobra.Group{ID: "see", Title: "See and steer:"}, &cobra.Group{ID: "run", Title: "Run and set up:"})
	for _, c := range []*cobra.Command{newDoctor(), newTop(), newDash(), newQueue(), newLock(), newCache(), newContext()} {
		c.GroupID = "see"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newBench(), newMetrics(), newServe(), newModules(), newSize(), newDocs(), newMan(), newVersion()} {
		c.GroupID = "run"
		root.AddCommand(c)
	}
	root.SetCompletionCommandGroupID("run")
	root.SetHelpCommandGroupID("run")
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
