package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/internal/where"
	"holdfast/queue"
)

// peekFlags are those of verbs that list tasks.
type peekFlags struct {
	stateFlags
	from, where, group string
	limit, window      int
}

func (f *peekFlags) register(cmd *cobra.Command) {
	f.registerCommon(cmd)
	cmd.Flags().StringVar(&f.where, "where", "", "only tasks that match this `filter`: error~timeout payload~\"ann@\" tries>2 since:2h")
}

// registerCommon is register for a verb whose filter is an argument.
func (f *peekFlags) registerCommon(cmd *cobra.Command) {
	f.stateFlags.register(cmd)
	cmd.Flags().StringVar(&f.group, "group", "", "of this group alone")
	cmd.Flags().IntVarP(&f.limit, "limit", "n", 30, "show so many at most")
	cmd.Flags().IntVar(&f.window, "window", queue.DefaultWindow, "look at so many at most")
}

// search is what is searched for.
func (f *peekFlags) search(state queue.State) (queue.SearchOptions, error) {
	filter, err := where.Parse(f.where, time.Now())
	if err != nil {
		return queue.SearchOptions{}, cli.Try(cli.Usage("--where: %v", err), "--where 'error~timeout since:2h'")
	}
	o := queue.SearchOptions{State: state, Filter: filter, Group: f.group, Limit: f.limit, Window: f.window}
	if f.limit < 1 || f.window < 1 {
		return o, cli.Usage("--limit and --window: one at least")
	}
	offset, err := cli.ParseOffset(f.from, time.Now())
	switch {
	case err != nil:
		return o, err
	case offset.Last > 0:
		o.Newest, o.Limit = true, offset.Last
	case offset.ID == "+":
		o.Newest = true
	case offset.ID != "-":
		var ms int64
		if _, err := fmt.Sscanf(offset.ID, "%d", &ms); err != nil {
			return o, cli.Usage("--from %s: a time, such as @1h", f.from)
		}
		o.Filter.From = time.UnixMilli(ms)
	}
	return o, nil
}

func newQueuePeek() *cobra.Command {
	var f peekFlags
	var asJSON cli.JSON
	var watch cli.Watch
	var groupBy string
	var newest bool
	cmd := verb(&cobra.Command{
		Use: "peek QUEUE", Short: "Look at tasks, and take none", Args: cobra.ExactArgs(1),
		Long: `Look at tasks of one state, and take none: those that are ready, unless another state is
chosen. A filter is made of:

` + where.Help,
		Example: `  holdfast queue peek mail
  holdfast queue peek mail --in-work
  holdfast queue peek mail --dead --group-by error
  holdfast queue peek mail --dead --where 'error~timeout since:2h' --from end
  holdfast queue peek mail --delayed --from @1h --json`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		if groupBy != "" && groupBy != "error" {
			return cli.Usage("--group-by %s: it is --group-by error", groupBy)
		}
		o, err := f.search(f.state(queue.Ready))
		if err != nil {
			return err
		}
		o.Newest = o.Newest || newest
		i := queue.Inspect(s.UniversalClient)
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			if groupBy != "" {
				return peekFailures(cmd, page, i, args[0], o, asJSON.On())
			}
			found, err := i.Search(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			return showTasks(cmd, page, found, o.State, asJSON.On())
		})
	})
	f.register(cmd)
	cmd.Flags().StringVar(&f.from, "from", "", "where to begin: start, end (the newest first), -100, @1h, @2026-11-29T10:00Z")
	cmd.Flags().BoolVar(&newest, "newest", false, "the newest first")
	cmd.Flags().StringVar(&groupBy, "group-by", "", "`error`: count failures by what they say")
	watch.Register(cmd)
	asJSON.Register(cmd, queue.Record{})
	return cmd
}

// showTasks prints what was found, and says how far the search went.
func showTasks(cmd *cobra.Command, page io.Writer, found queue.SearchResult, state queue.State, asJSON bool) error {
	if asJSON {
		for i := range found.Tasks {
			if err := cli.PrintJSON(page, &found.Tasks[i]); err != nil {
				return err
			}
		}
	} else if len(found.Tasks) > 0 {
		t := newTaskTable(state)
		for i := range found.Tasks {
			t.add(&found.Tasks[i])
		}
		if err := printTable(&t.Table, page, cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	more := ""
	if found.Cursor != "" {
		more = "; there are more"
	}
	say(cmd, "%s of %s looked at%s", cli.Number(int64(len(found.Tasks))), cli.Number(int64(found.Looked)), more)
	return nil
}

func peekFailures(cmd *cobra.Command, page io.Writer, i *queue.Inspector, stream string, o queue.SearchOptions, asJSON bool) error {
	if o.State == queue.InWork {
		return errors.New("tasks in work have not failed: group those that are --dead or --delayed")
	}
	report, err := i.Failures(cmd.Context(), stream, o)
	if err != nil {
		return err
	}
	t := cli.Table{Head: []string{"COUNT", "LAST", "FIRST", "GROUP", "ERROR"}}
	now := time.Now()
	for _, g := range report.Groups {
		if asJSON {
			if err := cli.PrintJSON(page, g); err != nil {
				return err
			}
			continue
		}
		t.Row(g.Count, now.Sub(g.Last).Truncate(time.Second), now.Sub(g.First).Truncate(time.Second), g.Group, g.Error)
	}
	if !asJSON && t.Len() > 0 {
		if err := printTable(&t, page, cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	more := ""
	if report.Cursor != "" {
		more = "; there are more: --window"
	}
	say(cmd, "%s looked at%s", plural(int64(report.Looked), "task", "tasks"), more)
	return nil
}
