package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/internal/shell"
	"holdfast/internal/where"
	"holdfast/queue"
)

// outcomeRow is what an act did, as JSON.
type outcomeRow struct {
	Done   int `json:"done" help:"tasks acted on"`
	Chosen int `json:"chosen" help:"tasks that were to be acted on"`
	Looked int `json:"looked" help:"tasks looked at"`
}

// act is a verb that does something with dead letters.
type act struct {
	word string // redrive
	past string // redriven
	do   func(i *queue.Inspector, cmd *cobra.Command, stream string, s queue.Selection) (queue.Outcome, error)
}

var (
	redrive = act{"redrive", "redriven", func(i *queue.Inspector, cmd *cobra.Command, stream string, s queue.Selection) (queue.Outcome, error) {
		return i.Redrive(cmd.Context(), stream, s)
	}}
	discard = act{"discard", "discarded", func(i *queue.Inspector, cmd *cobra.Command, stream string, s queue.Selection) (queue.Outcome, error) {
		return i.Discard(cmd.Context(), stream, s)
	}}
)

// flags of an act.
type actFlags struct {
	consent      cli.Consent
	asJSON       cli.JSON
	filter, with string
	group        string
	window       int
}

func (f *actFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.filter, "where", "", "dead letters that match this `filter`: error~timeout payload~\"ann@\" tries>2 since:2h")
	cmd.Flags().StringVar(&f.group, "group", "", "of this group alone")
	cmd.Flags().IntVar(&f.window, "window", queue.DefaultWindow, "look at so many at most")
	f.consent.Register(cmd)
	f.asJSON.Register(cmd, outcomeRow{})
}

// run chooses first, shows what it chose, and acts on exactly that.
func (a act) run(cmd *cobra.Command, s *cli.Server, f *actFlags, stream string, ids []string) error {
	i := queue.Inspect(s.UniversalClient)
	selection := queue.Selection{IDs: ids, Group: f.group, Window: f.window}
	total := outcomeRow{Chosen: len(ids), Looked: len(ids)}
	var sample []string
	if len(ids) == 0 {
		filter, err := where.Parse(f.filter, time.Now())
		if err != nil {
			return cli.Try(cli.Usage("--where: %v", err), "--where 'error~timeout since:2h'")
		}
		selection.Filter, selection.DryRun = filter, true
		chosen, err := a.do(i, cmd, stream, selection)
		if err != nil {
			return err
		}
		total = outcomeRow{Chosen: len(chosen.Entries), Looked: chosen.Looked}
		for _, r := range chosen.Sample {
			sample = append(sample, fmt.Sprintf("%s  %s  %s", r.ID, cli.Cut(r.Error, 60), shortPayload(r.Payload, 60)))
		}
		if chosen.Cursor != "" {
			say(cmd, "%s looked at; there are more: --window", plural(int64(chosen.Looked), "dead letter", "dead letters"))
		}
		if total.Chosen == 0 {
			return cli.NotMet(shell.Command("queue peek", []string{"--dead"}, stream), "no dead letter matches, of %s looked at", cli.Number(int64(total.Looked)))
		}
		for _, entry := range chosen.Entries {
			ids = append(ids, "entry:"+entry)
		}
	}
	what := fmt.Sprintf("%s %s of %s (%s looked at)", a.word, plural(int64(total.Chosen), "dead letter", "dead letters"), stream, cli.Number(int64(total.Looked)))
	if ok, err := f.consent.Ask(cmd, s, cli.Act{What: what, Sample: sample, Name: stream}); err != nil || !ok {
		return err
	}
	err := inSteps(cmd, queue.Selection{Group: f.group}, ids, func(part queue.Selection) (int, error) {
		out, err := a.do(i, cmd, stream, part)
		total.Done += out.Done
		return total.Done, err
	})
	if f.asJSON.On() {
		if jsonErr := cli.PrintJSON(cmd.OutOrStdout(), total); jsonErr != nil {
			return jsonErr
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", plural(int64(total.Done), "task", "tasks"), a.past)
	}
	if err == nil && total.Done == 0 {
		return cli.NotMet(shell.Command("queue peek", []string{"--dead"}, stream), "none of them is a dead letter of %s", stream)
	}
	return err
}

// inSteps acts on a selection by parts, and shows the progress of long ones.
func inSteps(cmd *cobra.Command, s queue.Selection, names []string, step func(queue.Selection) (done int, err error)) error {
	p := newProgress(cmd, len(names))
	defer p.end()
	for part := range slices.Chunk(names, 1000) {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		of := s
		of.IDs = part
		done, err := step(of)
		if err != nil {
			return err
		}
		p.at(done)
	}
	return nil
}

func newQueueRedrive() *cobra.Command {
	var f actFlags
	var payload string
	cmd := verb(&cobra.Command{
		Use: "redrive QUEUE [ID…]", Short: "Bring dead letters back, as if they had never been tried", Args: cobra.MinimumNArgs(1),
		Long: `Bring dead letters back to their queue, as if they had never been tried: those with the ids
given, or all that match a filter. What is looked at is bounded by --window. A filter is made of:

` + where.Help + `

With --payload, one task is repaired and brought back in one step.`,
		Example: `  holdfast queue redrive mail --where 'error~timeout since:2h' --dry-run
  holdfast queue redrive mail --where 'error~timeout since:2h'
  holdfast queue redrive mail 1795955550019-0 --payload '{"to":"ann@example.com"}'`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		if cmd.Flags().Changed("payload") {
			return repair(cmd, s, &f, args, payload)
		}
		return redrive.run(cmd, s, &f, args[0], args[1:])
	})
	f.register(cmd)
	cmd.Flags().StringVar(&payload, "payload", "", "of the one task named: another payload")
	return cmd
}

func repair(cmd *cobra.Command, s *cli.Server, f *actFlags, args []string, payload string) error {
	if len(args) != 2 {
		return cli.Usage("--payload repairs one task: name it")
	}
	act := cli.Act{What: "repair and redrive " + args[1] + " of " + args[0], Sample: []string{payload}, Name: args[0]}
	if ok, err := f.consent.Ask(cmd, s, act); err != nil || !ok {
		return err
	}
	there, err := queue.Inspect(s.UniversalClient).Repair(cmd.Context(), args[0], f.group, args[1], []byte(payload))
	if err != nil {
		return err
	}
	if !there {
		return cli.NotMet(shell.Command("queue find", nil, args[0], args[1]), "%s is no dead letter of %s", args[1], args[0])
	}
	if f.asJSON.On() {
		return cli.PrintJSON(cmd.OutOrStdout(), outcomeRow{1, 1, 1})
	}
	fmt.Fprintln(cmd.OutOrStdout(), "1 task repaired and redriven")
	return nil
}

func newQueueRetry() *cobra.Command {
	var f actFlags
	cmd := verb(&cobra.Command{
		Use: "retry QUEUE ID…", Short: "Bring single dead letters back, by their ids", Args: cobra.MinimumNArgs(2),
		Example: "  holdfast queue retry mail 1795955550019-0",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		return redrive.run(cmd, s, &f, args[0], args[1:])
	})
	cmd.Flags().StringVar(&f.group, "group", "", "of this group")
	f.consent.Register(cmd)
	f.asJSON.Register(cmd, outcomeRow{})
	return cmd
}

func newQueueDiscard() *cobra.Command {
	var f actFlags
	cmd := verb(&cobra.Command{
		Use: "discard QUEUE [ID…]", Short: "Delete dead letters for good", Args: cobra.MinimumNArgs(1),
		Long: `Delete dead letters for good: those with the ids given, or all that match a filter. What is
looked at is bounded by --window. A filter is made of:

` + where.Help,
		Example: `  holdfast queue discard mail 1795955550019-0
  holdfast queue discard mail --where 'error~"no such user"' --dry-run`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		if len(args) == 1 && f.filter == "" {
			return cli.Try(cli.Usage("which dead letters?"), "ids, --where 'error~…', or for all: "+shell.Command("queue purge", []string{"--dead"}, args[0]))
		}
		return discard.run(cmd, s, &f, args[0], args[1:])
	})
	f.register(cmd)
	return cmd
}

// countRow is a number of tasks, as JSON.
type countRow struct {
	Count int `json:"count"`
}

// printCount prints how many tasks something was done to; none is exit code 3.
func printCount(cmd *cobra.Command, asJSON bool, n int, past, hint string) error {
	if asJSON {
		if err := cli.PrintJSON(cmd.OutOrStdout(), countRow{n}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", plural(int64(n), "task", "tasks"), past)
	}
	if n == 0 {
		return cli.NotMet(hint, "nothing was there")
	}
	return nil
}

func newQueueCancel() *cobra.Command {
	var consent cli.Consent
	var asJSON cli.JSON
	cmd := verb(&cobra.Command{
		Use: "cancel QUEUE ID…", Short: "Take tasks out of a queue, wherever they are", Args: cobra.MinimumNArgs(2),
		Long: `Take tasks out of a queue by their ids: those that are delayed, that are ready, and that workers
have. The worker's handler is told at the next renewal of its lease.`,
		Example: "  holdfast queue cancel mail 1795955550019-0",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		a := cli.Act{What: "cancel " + plural(int64(len(args)-1), "task", "tasks") + " of " + args[0], Sample: args[1:min(len(args), 6)], Name: args[0]}
		if ok, err := consent.Ask(cmd, s, a); err != nil || !ok {
			return err
		}
		n, err := queue.Inspect(s.UniversalClient).Cancel(cmd.Context(), args[0], args[1:]...)
		if err != nil {
			return err
		}
		return printCount(cmd, asJSON.On(), n, "cancelled", shell.Command("queue find", nil, args[0], args[1]))
	})
	consent.Register(cmd)
	asJSON.Register(cmd, countRow{})
	return cmd
}

func newQueuePause() *cobra.Command {
	return verb(&cobra.Command{
		Use: "pause QUEUE", Short: "Hand out nothing until resume", Args: cobra.ExactArgs(1),
		Long:    "Hand out nothing until resume. Tasks are taken in; what workers have, they finish. A pause survives restarts and failovers.",
		Example: "  holdfast queue pause mail",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		return queue.Inspect(s.UniversalClient).Pause(cmd.Context(), args[0])
	})
}

func newQueueResume() *cobra.Command {
	return verb(&cobra.Command{
		Use: "resume QUEUE", Short: "End a pause", Args: cobra.ExactArgs(1), Example: "  holdfast queue resume mail",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		return queue.Inspect(s.UniversalClient).Resume(cmd.Context(), args[0])
	})
}

func newQueueForget() *cobra.Command {
	var consent cli.Consent
	var asJSON cli.JSON
	var group string
	cmd := verb(&cobra.Command{
		Use: "forget QUEUE CONSUMER", Short: "Remove a consumer that will not come back", Args: cobra.ExactArgs(2),
		Long:    "Remove a consumer that will not come back, and give its tasks to the others at once, not after its lease.",
		Example: "  holdfast queue forget mail web-1:77:XKCD",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		if ok, err := consent.Ask(cmd, s, cli.Act{What: "forget the consumer " + strconv.Quote(args[1]) + " of " + args[0], Name: args[0]}); err != nil || !ok {
			return err
		}
		n, err := queue.Inspect(s.UniversalClient).Forget(cmd.Context(), args[0], group, args[1])
		if err != nil {
			return err
		}
		if asJSON.On() {
			return cli.PrintJSON(cmd.OutOrStdout(), countRow{n})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s given to the others\n", plural(int64(n), "task", "tasks"))
		return nil
	})
	cmd.Flags().StringVar(&group, "group", queue.DefaultGroup, "the consumer's group")
	consent.Register(cmd)
	asJSON.Register(cmd, countRow{})
	return cmd
}

func newQueuePurge() *cobra.Command {
	var f stateFlags
	var consent cli.Consent
	var asJSON cli.JSON
	var group string
	cmd := verb(&cobra.Command{
		Use: "purge QUEUE", Short: "Delete all tasks of one state", Args: cobra.ExactArgs(1),
		Example: `  holdfast queue purge mail --dead
  holdfast queue purge mail --delayed --yes`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		state := f.state("")
		switch state {
		case "":
			return cli.Usage("which tasks: --ready, --delayed or --dead?")
		case queue.InWork:
			return cli.Try(cli.Usage("tasks in work are cancelled by their ids"), shell.Command("queue cancel", nil, args[0])+" ID…")
		}
		i := queue.Inspect(s.UniversalClient)
		stats, err := i.Stats(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		n := map[queue.State]int64{queue.Ready: stats.Length, queue.Delayed: stats.Delayed, queue.Dead: stats.Dead}[state]
		first, err := i.Search(cmd.Context(), args[0], queue.SearchOptions{State: state, Group: group, Limit: 5, Window: 5})
		if err != nil {
			return err
		}
		var sample []string
		for _, r := range first.Tasks {
			sample = append(sample, r.ID+"  "+shortPayload(r.Payload, 100))
		}
		what := fmt.Sprintf("delete all %s tasks of %s (about %s)", state, args[0], cli.Number(n))
		if ok, err := consent.Ask(cmd, s, cli.Act{What: what, Sample: sample, Name: args[0]}); err != nil || !ok {
			return err
		}
		done, err := i.Purge(cmd.Context(), args[0], state, group)
		if err != nil {
			say(cmd, "%s deleted; the same again goes on", plural(int64(done), "task", "tasks"))
			return err
		}
		return printCount(cmd, asJSON.On(), done, "deleted", "")
	})
	f.register(cmd)
	cmd.Flags().StringVar(&group, "group", "", "of dead letters: those of this group alone")
	consent.Register(cmd)
	asJSON.Register(cmd, countRow{})
	return cmd
}
