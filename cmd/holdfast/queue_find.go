package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/internal/shell"
	"holdfast/internal/where"
	"holdfast/queue"
)

func newQueueFind() *cobra.Command {
	var f peekFlags
	var asJSON cli.JSON
	cmd := verb(&cobra.Command{
		Use: "find QUEUE ID|FILTER", Short: "Find a task by its id, or tasks by a filter", Args: cobra.ExactArgs(2),
		Long: `Find a task by the id that its publication answered, wherever it is now, or tasks by a filter,
in all states. The search is bounded, and says how far it looked. A filter is made of:

` + where.Help,
		Example: `  holdfast queue find mail 1795955550019-0
  holdfast queue find mail 'payload~"ann@example.com" since:2h'
  holdfast queue find mail 'error~timeout' --dead --limit 5`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		i := queue.Inspect(s.UniversalClient)
		filter, isFilter := args[1], true
		if _, err := where.Parse(filter, time.Now()); err != nil {
			isFilter = false
		}
		if !isFilter {
			r, err := i.Find(cmd.Context(), args[0], args[1])
			switch {
			case errors.Is(err, queue.ErrNotFound):
				return cli.Try(cli.NotMet("", "no task %q in %s: done, cancelled, or never there", args[1], args[0]), shell.Command("queue find", nil, args[0], `payload~"…"`))
			case err != nil:
				return err
			case asJSON.On():
				return cli.PrintJSON(cmd.OutOrStdout(), &r)
			}
			printRecord(cmd.OutOrStdout(), &r, time.Now())
			return nil
		}
		f.where = filter
		found := 0
		for _, state := range allStates {
			if chosen := f.state(""); chosen != "" && chosen != state {
				continue
			}
			o, err := f.search(state)
			if err != nil {
				return err
			}
			result, err := i.Search(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			found += len(result.Tasks)
			if !asJSON.On() && len(result.Tasks) > 0 {
				say(cmd, "%s:", state)
			}
			if err := showTasks(cmd, cmd.OutOrStdout(), result, state, asJSON.On()); err != nil {
				return err
			}
		}
		if found == 0 {
			return cli.NotMet("--window, to look further", "nothing found")
		}
		return nil
	})
	f.registerCommon(cmd)
	asJSON.Register(cmd, queue.Record{})
	return cmd
}
