package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// keysRow is what queue keys tells, as JSON.
type keysRow struct {
	Queue string `json:"queue"`
	queue.Keys
}

// ruleFlags are the rule that queue keys sets.
type ruleFlags struct {
	limit, share           int
	rate                   string
	rateAll, ordered, none bool
}

func newQueueKeys() *cobra.Command {
	var f ruleFlags
	var top int
	var asJSON cli.JSON
	var watch cli.Watch
	cmd := verb(&cobra.Command{
		Use: "keys QUEUE", Short: "Tell or set what one key's tasks may take, and who is held back", Args: cobra.ExactArgs(1),
		Long: `Tell the rule for the keys of a queue's tasks, and the keys that have most tasks held back. With a
flag that makes a rule, set that rule instead of the present one; it applies at once, also to what
is held. Which rule is right:

  --share N      one tenant's many tasks must not stand before another's few; nobody idles
  --limit N      never more than N of a key at once, as for an API with so many connections
  --ordered      the tasks of a key one by one, in the order of their publication
  --rate N/TIME  at most N of a key in any time, or of all keys together with --rate-all`,
		Example: `  holdfast queue keys mail
  holdfast queue keys mail --share 4
  holdfast queue keys mail --limit 2 --rate 10/1s
  holdfast queue keys mail --none`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		i := queue.Inspect(s.UniversalClient)
		if rule, set, err := f.rule(); err != nil {
			return err
		} else if set {
			if err := i.SetRule(cmd.Context(), args[0], rule); err != nil {
				return err
			}
		}
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			keys, err := i.Keys(cmd.Context(), args[0], top)
			if err != nil {
				return err
			}
			if asJSON.On() {
				return cli.PrintJSON(page, keysRow{args[0], keys})
			}
			fmt.Fprintf(page, "%s: %s; %s of %s held\n", cli.Printable(args[0]), describe(keys.Rule), plural(keys.Held, "task", "tasks"), plural(keys.Keys, "key", "keys"))
			if len(keys.Lines) == 0 {
				return nil
			}
			fmt.Fprintln(page)
			t := cli.Table{Head: []string{"KEY", "HELD", "IN", "WEIGHT"}}
			for _, l := range keys.Lines {
				t.Row(cli.Printable(l.Key), l.Held, l.In, l.Weight)
			}
			return printTable(&t, page, cmd.OutOrStdout())
		})
	})
	fl := cmd.Flags()
	fl.IntVar(&top, "top", 20, "tell so many keys, 1000 at most")
	fl.IntVar(&f.limit, "limit", 0, "never more than so many tasks of a key at once")
	fl.IntVar(&f.share, "share", 0, "so many tasks of a key at once, and more when a worker would be idle")
	fl.StringVar(&f.rate, "rate", "", "so many tasks of a key in a time, `10/1s`")
	fl.BoolVar(&f.rateAll, "rate-all", false, "the rate is of all keys together")
	fl.BoolVar(&f.ordered, "ordered", false, "the tasks of a key one by one, in order")
	fl.BoolVar(&f.none, "none", false, "take the rule away")
	watch.Register(cmd)
	asJSON.Register(cmd, keysRow{})
	return cmd
}

// rule is the rule that the flags make; set is false when there is none of them.
func (f *ruleFlags) rule() (r queue.Rule, set bool, err error) {
	r = queue.Rule{Limit: f.limit, Share: f.share, Ordered: f.ordered}
	if f.rate != "" {
		number, per, ok := strings.Cut(f.rate, "/")
		if r.Rate.N, err = strconv.Atoi(number); err != nil || !ok {
			return r, false, cli.Try(cli.Usage("--rate %s is no number of tasks in a time", f.rate), "--rate 10/1s")
		}
		if r.Rate.Per, err = cli.ParseDuration(per); err != nil {
			return r, false, err
		}
		r.Rate.All = f.rateAll
	} else if f.rateAll {
		return r, false, cli.Usage("--rate-all wants --rate")
	}
	if err := r.Validate(); err != nil {
		return r, false, cli.Usage("%v", err)
	}
	set = r != queue.Rule{}
	if f.none && set {
		return r, false, cli.Usage("--none takes the rule away: no other rule goes with it")
	}
	return r, set || f.none, nil
}

// describe is a rule in words.
func describe(r queue.Rule) string {
	var words []string
	if r.Limit > 0 {
		words = append(words, fmt.Sprintf("at most %d of a key at once", r.Limit))
	}
	if r.Share > 0 {
		words = append(words, fmt.Sprintf("a share of %d of a key at once", r.Share))
	}
	if r.Ordered {
		words = append(words, "the tasks of a key in order")
	}
	if r.Rate.N > 0 {
		of := "of a key"
		if r.Rate.All {
			of = "of all keys"
		}
		words = append(words, fmt.Sprintf("%d %s in %s", r.Rate.N, of, cli.Duration(r.Rate.Per.Truncate(time.Millisecond))))
	}
	if len(words) == 0 {
		return "no rule for keys"
	}
	return strings.Join(words, ", ")
}
