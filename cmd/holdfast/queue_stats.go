package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/internal/shell"
	"holdfast/queue"
)

// queueRow is a queue as queue stats tells of it.
type queueRow struct {
	Queue string `json:"queue"`
	queue.Stats
}

func newQueueStats() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	cmd := verb(&cobra.Command{
		Use: "stats QUEUE", Short: "Tell how a queue and its groups are doing", Args: cobra.ExactArgs(1),
		Example: `  holdfast queue stats mail
  holdfast queue stats mail --watch=1s`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		i := queue.Inspect(s.UniversalClient)
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			stats, err := i.Stats(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON.On() {
				return cli.PrintJSON(page, queueRow{args[0], stats})
			}
			if stats.Paused {
				fmt.Fprintln(page, "Paused: tasks are taken in, none is handed out.")
			}
			fmt.Fprintf(page, "%s: %s, %s delayed, %s held, %s; the oldest is %s old\n\n", cli.Printable(args[0]), plural(stats.Length, "task", "tasks"),
				cli.Number(stats.Delayed), cli.Number(stats.Held), plural(stats.Dead, "dead letter", "dead letters"), cli.Duration(stats.OldestAge.Truncate(time.Millisecond)))
			t := cli.Table{Head: []string{"GROUP", "READY", "IN WORK", "DEAD", "CONSUMERS", "WAITING", "LEASE", "WAIT P50", "P99", "RUN P50", "P99"}}
			for _, g := range stats.Groups {
				t.Row(g.Name, g.Ready, g.Pending, g.Dead, g.Consumers, g.Waiting, known(g.Lease), known(g.Wait.P50), known(g.Wait.P99), known(g.Run.P50), known(g.Run.P99))
			}
			if t.Len() == 0 {
				fmt.Fprintln(page, "Nobody works on it yet. Try: "+shell.Command("queue work", nil, args[0])+" -- command")
				return nil
			}
			return printTable(&t, page, cmd.OutOrStdout())
		})
	})
	watch.Register(cmd)
	asJSON.Register(cmd, queueRow{})
	return cmd
}

// known is a duration, or nothing where there was none.
func known(d time.Duration) any {
	if d <= 0 {
		return nil
	}
	return d
}
