package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

func newQueue() *cobra.Command {
	return parent("queue", "Look into queues, and steer them",
		`Look into queues, find and repair what failed, publish, and work on tasks without a line
of Go. A queue is named by its stream.`,
		newQueueLs(), newQueueStats(), newQueueKeys(), newQueuePeek(), newQueueTail(), newQueueFind(), newQueuePublish(),
		newQueueRetry(), newQueueRedrive(), newQueueDiscard(), newQueueCancel(), newQueuePause(), newQueueResume(),
		newQueueForget(), newQueuePurge(), newQueueExport(), newQueueImport(), newQueueWork())
}

// taskTable shows tasks a line each.
type taskTable struct {
	cli.Table
	now   time.Time
	state queue.State
}

func newTaskTable(state queue.State) *taskTable {
	t := &taskTable{now: time.Now(), state: state}
	switch state {
	case queue.InWork:
		t.Head = []string{"ID", "AGE", "TRY", "OWNER", "LEASE LEFT", "PAYLOAD"}
	case queue.Delayed:
		t.Head = []string{"ID", "DUE IN", "TRY", "ERROR", "PAYLOAD"}
	case queue.Dead:
		t.Head = []string{"ID", "DIED", "TRY", "ERROR", "PAYLOAD"}
	default:
		t.Head = []string{"ID", "AGE", "TRY", "PAYLOAD"}
	}
	return t
}

func (t *taskTable) add(r *queue.Record) {
	payload := shortPayload(r.Payload, 120)
	since := t.now.Sub(r.Since).Truncate(time.Millisecond)
	switch t.state {
	case queue.InWork:
		owner, left := r.Consumer, any(r.LeaseLeft)
		if !r.Connected {
			owner += " (gone)"
		}
		if r.LeaseLeft == 0 {
			left = nil
		}
		t.Row(r.ID, r.Idle, r.Try, owner, left, payload)
	case queue.Delayed:
		t.Row(r.ID, max(r.Due.Sub(t.now), 0), r.Try, cli.Cut(r.Error, 50), payload)
	case queue.Dead:
		t.Row(r.ID, since, r.Try, cli.Cut(r.Error, 50), payload)
	default:
		t.Row(r.ID, since, r.Try, payload)
	}
}

// shortPayload is the beginning of a payload, of bytes their number.
func shortPayload(b []byte, most int) string {
	if !utf8.Valid(b) {
		return fmt.Sprintf("(%s bytes)", cli.Number(int64(len(b))))
	}
	return cli.Cut(cli.Printable(string(b)), most)
}

// printRecord shows a task with all that is known of it.
func printRecord(w io.Writer, r *queue.Record, now time.Time) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("id", "%s", r.ID)
	line("state", "%s in %s as %s", r.State, cli.Printable(r.Key), r.Entry)
	line("published", "%s (%s ago)", r.Published.Format(time.RFC3339), cli.Duration(now.Sub(r.Published)))
	if !r.Due.IsZero() {
		line("due", "%s (in %s)", r.Due.Format(time.RFC3339), cli.Duration(r.Due.Sub(now)))
	}
	line("try", "%d, delivered %s", r.Try, plural(int64(r.Deliveries), "time", "times"))
	if r.Consumer != "" {
		line("consumer", "%s", cli.Printable(r.Consumer))
	}
	if r.LeaseLeft > 0 {
		line("lease", "%s left", cli.Duration(r.LeaseLeft))
	}
	if r.Error != "" {
		line("error", "%s", cli.Printable(r.Error))
	}
	for name, value := range r.Headers {
		line("header", "%s: %s", cli.Printable(name), cli.Printable(value))
	}
	for i, f := range r.History {
		line(map[bool]string{true: "history"}[i == 0], "%s  %s  %s  %s", f.At.Format(time.RFC3339), f.Entry, cli.Printable(f.Consumer), cli.Printable(f.Error))
	}
	if utf8.Valid(r.Payload) {
		line("payload", "%s", strings.ReplaceAll(string(r.Payload), "\n", "\n            "))
	} else {
		line("payload", "%s bytes: %x", cli.Number(int64(len(r.Payload))), r.Payload)
	}
}

// stateFlags choose tasks by where they stand.
type stateFlags struct{ ready, work, delayed, dead bool }

func (f *stateFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.ready, "ready", false, "tasks that no worker was given")
	cmd.Flags().BoolVar(&f.work, "in-work", false, "tasks that workers have")
	cmd.Flags().BoolVar(&f.delayed, "delayed", false, "tasks that are not due")
	cmd.Flags().BoolVar(&f.dead, "dead", false, "dead letters")
	cmd.MarkFlagsMutuallyExclusive("ready", "in-work", "delayed", "dead")
}

// state is the one chosen, or otherwise.
func (f *stateFlags) state(otherwise queue.State) queue.State {
	switch {
	case f.ready:
		return queue.Ready
	case f.work:
		return queue.InWork
	case f.delayed:
		return queue.Delayed
	case f.dead:
		return queue.Dead
	}
	return otherwise
}

// allStates are the states in which a task can be found, the likeliest to be asked for first.
var allStates = []queue.State{queue.Dead, queue.Delayed, queue.InWork, queue.Ready}
