package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// Exit codes of a task's command, as sysexits has them.
const (
	exitBury  = 65 // EX_DATAERR: no further try can help
	exitAgain = 75 // EX_TEMPFAIL
)

// workFlags are those of queue work.
type workFlags struct {
	group, lease, timeout, grace, drain, backoff, maxBackoff string
	concurrency, maxTries                                    int
	quiet                                                    bool
}

func newQueueWork() *cobra.Command {
	var f workFlags
	cmd := verb(&cobra.Command{
		Use: "work QUEUE -- COMMAND [ARG…]", Short: "Run a command for each task: a worker without a line of Go",
		Long: `Run a command for each task, until Ctrl-C or TERM: then nothing more is taken, and what runs is
finished. The payload is the command's standard input; its environment has

  HOLDFAST_TASK_ID      the id that its publication answered, the same through all tries
  HOLDFAST_TASK_TRY     1 for the first, and HOLDFAST_TASK_MAX_TRIES
  HOLDFAST_QUEUE        the queue's name
  HOLDFAST_HEADER_NAME  each header, its name in capitals

By the command's exit code the task is

  0          done
  75         tried again, with a growing pause, up to --max-tries
  65         a dead letter at once: no further try can help
  any other  tried again like 75

The last line of its standard error is the error that is kept with the task. The lease is renewed
while the command runs. If it is lost, or --timeout is over, the command and all that it started
get TERM, and KILL after --grace.`,
		Example: `  holdfast queue work mail -- ./send-mail
  holdfast queue work thumbnails --concurrency 4 --timeout 5m -- convert - -resize 200 out.png
  holdfast queue work hello -- sh -c 'cat; echo " was try $HOLDFAST_TASK_TRY"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if _, _, ok := nameAndCommand(cmd, args); !ok {
				return cli.Try(cli.Usage("a queue, --, and a command"), "holdfast queue work QUEUE -- ./command")
			}
			return nil
		},
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		o, grace, err := f.options()
		if err != nil {
			return err
		}
		name, command, _ := nameAndCommand(cmd, args)
		if _, err := exec.LookPath(command[0]); err != nil {
			return cli.Usage("%v", err)
		}
		level := slog.LevelInfo
		if f.quiet {
			level = slog.LevelError
		}
		o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
		if err := o.Validate(); err != nil {
			return cli.Usage("%v", err)
		}
		runner := &taskRunner{command: command, grace: grace, cmd: cmd}
		q := queue.New[[]byte](s.UniversalClient, name, queue.Options{Codec: queue.Bytes})
		return queue.NewWorker(q, runner.run, o).Run(cmd.Context())
	})
	fl := cmd.Flags()
	fl.IntVarP(&f.concurrency, "concurrency", "c", 1, "commands at a time")
	fl.StringVar(&f.group, "group", queue.DefaultGroup, "share the tasks with the workers of this group")
	fl.StringVar(&f.lease, "lease", "30s", "how long the tasks of a worker that vanished are kept for it")
	fl.StringVar(&f.timeout, "timeout", "", "longest time for a task (default: none)")
	fl.StringVar(&f.grace, "grace", "10s", "from TERM to KILL")
	fl.StringVar(&f.drain, "drain", "5m", "how long commands may finish after Ctrl-C or TERM")
	fl.IntVar(&f.maxTries, "max-tries", 10, "tries before a task is a dead letter")
	fl.StringVar(&f.backoff, "backoff", "1s", "pause after the first failed try; it doubles")
	fl.StringVar(&f.maxBackoff, "max-backoff", "10m", "longest pause")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "say errors alone")
	return cmd
}

func (f *workFlags) options() (o queue.WorkerOptions, grace time.Duration, err error) {
	var lease, drain, backoff, maxBackoff, timeout time.Duration
	for text, to := range map[*string]*time.Duration{&f.lease: &lease, &f.grace: &grace, &f.drain: &drain, &f.backoff: &backoff, &f.maxBackoff: &maxBackoff, &f.timeout: &timeout} {
		if *text == "" {
			continue
		}
		d, err := cli.ParseDuration(*text)
		if err != nil {
			return o, 0, err
		}
		*to = d
	}
	if f.concurrency < 1 || f.maxTries < 1 {
		return o, 0, cli.Usage("--concurrency and --max-tries: one at least")
	}
	if drain == 0 {
		drain = -1
	}
	return queue.WorkerOptions{
		Backoff: queue.Exponential(backoff, maxBackoff), Concurrency: f.concurrency, DrainTimeout: drain, Group: f.group,
		Lease: lease, MaxTries: f.maxTries, Timeout: timeout, Prefetch: -1,
	}, grace, nil
}

// taskRunner runs a command for each task.
type taskRunner struct {
	command []string
	grace   time.Duration
	cmd     *cobra.Command
}

func (r *taskRunner) run(ctx context.Context, t *queue.Task[[]byte]) error {
	var tail lastLine
	cmd := exec.Command(r.command[0], r.command[1:]...)
	cmd.Stdin = bytes.NewReader(t.Payload)
	cmd.Stdout = r.cmd.OutOrStdout()
	cmd.Stderr = &tail
	tail.to = r.cmd.ErrOrStderr()
	cmd.Env = append(os.Environ(), "HOLDFAST_TASK_ID="+t.ID, fmt.Sprintf("HOLDFAST_TASK_TRY=%d", t.Try),
		fmt.Sprintf("HOLDFAST_TASK_MAX_TRIES=%d", t.MaxTries), "HOLDFAST_QUEUE="+t.Queue)
	for name, value := range t.Headers {
		if !strings.Contains(value, "\x00") {
			cmd.Env = append(cmd.Env, "HOLDFAST_HEADER_"+variable(name)+"="+value)
		}
	}
	err := runUntil(ctx, cmd, r.grace)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err == nil {
		return nil
	}
	if !ok {
		return err
	}
	reason := tail.text()
	if reason == "" {
		reason = exit.Error()
	}
	if exit.ExitCode() == exitBury {
		return queue.Discard(errors.New(reason))
	}
	return errors.New(reason)
}

// variable makes a header's name one of an environment variable.
func variable(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}
