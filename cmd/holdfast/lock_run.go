package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/internal/shell"
	"holdfast/lock"
)

// lockRunFlags are those of lock run.
type lockRunFlags struct {
	wait, lease, grace        string
	nonblock, shared, session bool
	limit                     int
}

func newLockRun() *cobra.Command {
	var f lockRunFlags
	cmd := verb(&cobra.Command{
		Use: "run LOCK -- COMMAND [ARG…]", Short: "Run a command while holding a lock: flock(1) for a fleet",
		Long: `Run a command while holding a lock, and release the lock when it ends. Others who want the lock
wait in the server, in the order in which they came. The lease is renewed while the command runs;
should it be lost all the same, the command and all that it started get TERM, and KILL after
--grace, before another can hold the lock.

HOLDFAST_TOKEN in the command's environment is the fencing token: a number greater than that of
every holder before. Have what the command writes to refuse smaller ones.

The exit code is the command's; 3 when the lock was not to be had in time, 1 when it was lost.`,
		Example: `  holdfast lock run nightly -- ./backup.sh
  holdfast lock run nightly --nonblock -- ./backup.sh || test $? = 3
  holdfast lock run crawler --limit 3 --wait 10m -- ./crawl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if _, _, ok := nameAndCommand(cmd, args); !ok {
				return cli.Try(cli.Usage("a lock, --, and a command"), "holdfast lock run NAME -- ./command")
			}
			return nil
		},
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		lease, err := cli.ParseDuration(f.lease)
		if err != nil {
			return err
		}
		grace, err := cli.ParseDuration(f.grace)
		if err != nil {
			return err
		}
		name, command, _ := nameAndCommand(cmd, args)
		path, err := exec.LookPath(command[0])
		if err != nil {
			return cli.Usage("%v", err)
		}
		options := []lock.Option{lock.Lease(lease)}
		if f.shared {
			options = append(options, lock.Shared())
		}
		if f.limit > 1 {
			options = append(options, lock.Limit(f.limit))
		}
		if f.session {
			options = append(options, lock.Session())
		}
		locks := lock.New(s.UniversalClient, lock.Options{})
		defer locks.Close()
		held, err := f.acquire(cmd.Context(), locks, name, options)
		if err != nil {
			return err
		}
		err = runLocked(cmd, held, path, command, grace)
		release, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), lease)
		defer cancel()
		if releaseErr := held.Release(release); err == nil && releaseErr != nil {
			return releaseErr
		}
		return err
	})
	fl := cmd.Flags()
	fl.StringVar(&f.wait, "wait", "", "wait for so long at most (default: as long as it takes)")
	fl.BoolVar(&f.nonblock, "nonblock", false, "do not wait")
	fl.StringVar(&f.lease, "lease", "30s", "how long the lock of a holder that vanished is kept")
	fl.StringVar(&f.grace, "grace", "10s", "from TERM to KILL, when the lock is lost")
	fl.IntVar(&f.limit, "limit", 1, "a semaphore: so many may hold it")
	fl.BoolVar(&f.shared, "shared", false, "share it with others who do")
	fl.BoolVar(&f.session, "session", false, "release it at once should this process die")
	cmd.MarkFlagsMutuallyExclusive("wait", "nonblock")
	cmd.MarkFlagsMutuallyExclusive("limit", "shared")
	return cmd
}

func (f *lockRunFlags) acquire(ctx context.Context, locks *lock.Client, name string, options []lock.Option) (*lock.Lock, error) {
	try := shell.Command("lock info", nil, name)
	if f.nonblock {
		held, err := locks.TryAcquire(ctx, name, options...)
		if errors.Is(err, lock.ErrHeld) {
			return nil, cli.NotMet(try, "%s is held by another", name)
		}
		return held, err
	}
	waiting := ctx
	if f.wait != "" {
		wait, err := cli.ParseDuration(f.wait)
		if err != nil {
			return nil, err
		}
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	held, err := locks.Acquire(waiting, name, options...)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, cli.NotMet(try, "%s was not to be had within %s", name, f.wait)
	}
	return held, err
}

// runLocked runs the command until it ends, the lock is lost, or the user has enough.
func runLocked(cmd *cobra.Command, held *lock.Lock, path string, command []string, grace time.Duration) error {
	run := exec.Command(path, command[1:]...)
	run.Args[0] = command[0]
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	run.Env = append(os.Environ(), fmt.Sprintf("HOLDFAST_TOKEN=%d", held.Token()), "HOLDFAST_LOCK="+held.Name())
	ctx, stop := context.WithCancel(held.Context())
	defer stop()
	defer context.AfterFunc(cmd.Context(), stop)()
	err := runUntil(ctx, run, grace)
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case held.Context().Err() != nil && cmd.Context().Err() == nil:
		return cli.Try(fmt.Errorf("%s was lost while the command ran: %w", held.Name(), context.Cause(held.Context())), "a longer --lease, or holdfast doctor")
	case ok && exit.ExitCode() >= 0:
		return cli.Exit(exit.ExitCode())
	case ok: // by a signal: as shells tell it
		return cli.Exit(128 + signalOf(exit))
	}
	return err
}
