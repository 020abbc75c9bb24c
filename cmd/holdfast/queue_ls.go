package main

import (
	"context"
	"io"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// overviewRow is a queue as queue ls shows it.
type overviewRow struct {
	queue.Overview
	Dead int64 `json:"dead" help:"dead letters of the group workers"`
}

// rate is a number of tasks in a minute, or nothing where the server does not know yet.
func rate(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}

// deadLetters are how many dead letters each of the queues has.
func deadLetters(ctx context.Context, s *cli.Server, queues []queue.Overview) ([]int64, error) {
	counts := make([]int64, len(queues))
	lengths := make([]*redis.IntCmd, len(queues))
	_, err := s.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for n, q := range queues {
			lengths[n] = pipe.XLen(ctx, queue.DeadStream(q.Stream, ""))
		}
		return nil
	})
	for n, l := range lengths {
		counts[n] = l.Val()
	}
	return counts, err
}

func newQueueLs() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	var match string
	cmd := verb(&cobra.Command{
		Use: "ls", Short: "List the queues, with what is in them", Args: cobra.NoArgs,
		Example: `  holdfast queue ls
  holdfast queue ls --match 'mail*' --watch
  holdfast queue ls --json`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		i := queue.Inspect(s.UniversalClient)
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			t := cli.Table{Head: []string{"QUEUE", "READY", "IN WORK", "DELAYED", "HELD", "DEAD", "OLDEST", "IN/MIN", "OUT/MIN", "WAITING", ""}}
			seen := map[string]bool{}
			err := each(cmd.Context(), func(cursor string) (string, error) {
				found, err := i.Overviews(cmd.Context(), match, cursor)
				if err != nil {
					return "", err
				}
				found.Queues = slices.DeleteFunc(found.Queues, func(q queue.Overview) bool { return seen[q.Stream] })
				dead, err := deadLetters(cmd.Context(), s, found.Queues)
				if err != nil {
					return "", err
				}
				for n, q := range found.Queues {
					seen[q.Stream] = true
					if asJSON.On() {
						if err := cli.PrintJSON(page, overviewRow{q, dead[n]}); err != nil {
							return "", err
						}
						continue
					}
					t.Row(q.Stream, q.Ready, q.InWork, q.Delayed, q.Held, dead[n], known(q.OldestAge), rate(q.InPerMinute), rate(q.OutPerMinute), q.Waiting, map[bool]string{true: "paused"}[q.Paused])
				}
				return found.Cursor, nil
			})
			if err != nil || asJSON.On() {
				return err
			}
			if t.Len() == 0 {
				say(cmd, "No queues. Try: holdfast queue publish mail hello")
				return nil
			}
			return printTable(&t, page, cmd.OutOrStdout())
		})
	})
	cmd.Flags().StringVar(&match, "match", "", "only queues whose names match this glob-style `pattern`")
	watch.Register(cmd)
	asJSON.Register(cmd, overviewRow{})
	return cmd
}
