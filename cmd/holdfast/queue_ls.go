package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/cli"
	"holdfast/queue"
)

// queueRow is a queue as queue ls shows it.
type queueRow struct {
	Queue string `json:"queue"`
	queue.Stats
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
			t := cli.Table{Head: []string{"QUEUE", "READY", "IN WORK", "DELAYED", "HELD", "DEAD", "OLDEST", "WAITING", ""}}
			seen := map[string]bool{}
			err := each(cmd.Context(), func(cursor string) (string, error) {
				found, err := i.Queues(cmd.Context(), match, cursor)
				if err != nil {
					return "", err
				}
				for _, stream := range found.Streams {
					if seen[stream] {
						continue
					}
					seen[stream] = true
					stats, err := i.Stats(cmd.Context(), stream)
					if err != nil {
						return "", err
					}
					if asJSON.On() {
						if err := cli.PrintJSON(page, queueRow{stream, stats}); err != nil {
							return "", err
						}
						continue
					}
					var ready, pending int64
					for _, g := range stats.Groups {
						ready, pending = ready+g.Ready, pending+g.Pending
					}
					if len(stats.Groups) == 0 {
						ready = stats.Length
					}
					var oldest any
					if stats.Length > 0 {
						oldest = stats.OldestAge.Truncate(time.Millisecond)
					}
					t.Row(stream, ready, pending, stats.Delayed, stats.Held, stats.Dead, oldest, stats.Waiting, map[bool]string{true: "paused"}[stats.Paused])
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
	asJSON.Register(cmd, queueRow{})
	return cmd
}
