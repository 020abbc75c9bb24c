package main

import (
	"io"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// rate is a number of tasks in a minute, or nothing where the server does not know yet.
func rate(n int64) any {
	if n < 0 {
		return nil
	}
	return n
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
				for _, q := range found.Queues {
					if seen[q.Stream] {
						continue
					}
					seen[q.Stream] = true
					if asJSON.On() {
						if err := cli.PrintJSON(page, q); err != nil {
							return "", err
						}
						continue
					}
					t.Row(q.Stream, q.Ready, q.InWork, q.Delayed, q.Held, q.Dead, known(q.OldestAge), rate(q.InPerMinute), rate(q.OutPerMinute), q.Waiting, map[bool]string{true: "paused"}[q.Paused])
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
	asJSON.Register(cmd, queue.Overview{})
	return cmd
}
