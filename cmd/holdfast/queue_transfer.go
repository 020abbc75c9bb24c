package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

func newQueueExport() *cobra.Command {
	var f stateFlags
	var group, to string
	cmd := verb(&cobra.Command{
		Use: "export QUEUE", Short: "Write tasks as JSON lines, and take none", Args: cobra.ExactArgs(1),
		Example: `  holdfast queue export mail --dead > dead.jsonl
  holdfast queue export mail --delayed --output delayed.jsonl`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) (err error) {
		w := cmd.OutOrStdout()
		if to != "" {
			file, err := os.Create(to)
			if err != nil {
				return err
			}
			defer func() {
				if closeErr := file.Close(); err == nil {
					err = closeErr
				}
			}()
			w = file
		}
		p := newProgress(cmd, 0)
		counted := &lineCounter{w: w, each: p.at}
		n, err := queue.Inspect(s.UniversalClient).Export(cmd.Context(), args[0], queue.ListOptions{State: f.state(queue.Ready), Group: group}, counted)
		p.end()
		say(cmd, "%s written", plural(int64(n), "task", "tasks"))
		return err
	})
	f.register(cmd)
	cmd.Flags().StringVar(&group, "group", "", "of this group alone")
	cmd.Flags().StringVarP(&to, "output", "o", "", "write into this `file`")
	return cmd
}

// lineCounter counts what is written, a line a call.
type lineCounter struct {
	w    io.Writer
	n    int
	each func(int)
}

func (c *lineCounter) Write(b []byte) (int, error) {
	c.n++
	c.each(c.n)
	return c.w.Write(b)
}

func newQueueImport() *cobra.Command {
	var consent cli.Consent
	var asJSON cli.JSON
	cmd := verb(&cobra.Command{
		Use: "import QUEUE [FILE]", Short: "Publish tasks that export wrote", Args: cobra.RangeArgs(1, 2),
		Long: `Publish tasks that export wrote, from a file or from standard input. They are tried as if they
had never been; delayed ones are delayed until the same time.`,
		Example: `  holdfast queue import mail dead.jsonl
  holdfast queue export old --ready | holdfast queue import new --yes`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		r := cmd.InOrStdin()
		from := "standard input"
		if len(args) == 2 {
			file, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer file.Close()
			r, from = file, args[1]
		}
		if ok, err := consent.Ask(cmd, s, cli.Act{What: fmt.Sprintf("publish the tasks of %s to %s", from, args[0]), Name: args[0]}); err != nil || !ok {
			return err
		}
		n, err := queue.Inspect(s.UniversalClient).Import(cmd.Context(), args[0], r)
		if err != nil {
			say(cmd, "%s published", plural(int64(n), "task", "tasks"))
			return err
		}
		return printCount(cmd, asJSON.On(), n, "published", "a file that export wrote")
	})
	consent.Register(cmd)
	asJSON.Register(cmd, countRow{})
	return cmd
}
