package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/internal/shell"
	"holdfast/lock"
)

func newLock() *cobra.Command {
	return parent("lock", "Look at locks, and run a command while holding one",
		"Look at locks, who holds them and who waits in line, and run any command while holding one.",
		newLockLs(), newLockInfo(), newLockWatch(), newLockBreak(), newLockRun())
}

// left is a lease's rest: "for ever" where it does not end.
func left(d time.Duration) any {
	if d < 0 {
		return "for ever"
	}
	return d
}

func newLockLs() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	var o lock.ListOptions
	var waiting bool
	var over string
	var limit int
	cmd := verb(&cobra.Command{
		Use: "ls", Short: "List the locks that are held or waited for", Args: cobra.NoArgs,
		Example: `  holdfast lock ls
  holdfast lock ls --waiting --watch
  holdfast lock ls --owner web-1:77 --held-over 5m`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		var heldOver time.Duration
		if over != "" {
			d, err := cli.ParseDuration(over)
			if err != nil {
				return err
			}
			heldOver = d
		}
		i := lock.Inspect(s.UniversalClient)
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			t := cli.Table{Head: []string{"LOCK", "MODE", "HOLDERS", "OWNER", "HELD", "LEFT", "WAITING"}}
			shown, more, seen := 0, false, map[string]bool{}
			err := each(cmd.Context(), func(cursor string) (string, error) {
				o.Cursor = cursor
				found, err := i.List(cmd.Context(), o)
				if err != nil {
					return "", err
				}
				for _, l := range found.Locks {
					if seen[l.Name] || waiting && l.Waiting == 0 || heldOver > 0 && !heldLonger(&l, heldOver) {
						continue
					}
					seen[l.Name] = true
					if shown == limit {
						more = true
						return "", nil
					}
					shown++
					if asJSON.On() {
						if err := cli.PrintJSON(page, l); err != nil {
							return "", err
						}
						continue
					}
					row := []any{l.Name, l.Mode, fmt.Sprint(l.Holding), nil, nil, nil, l.Waiting}
					if l.Limit > 1 {
						row[2] = fmt.Sprintf("%d of %d", l.Holding, l.Limit)
					}
					if len(l.Holders) > 0 {
						h := l.Holders[0]
						row[3], row[4], row[5] = h.Owner, h.Held, left(h.Left)
						if h.Foreign {
							row[3], row[4] = h.Owner+" (SET NX)", nil
						}
					}
					t.Row(row...)
				}
				return found.Cursor, nil
			})
			if err != nil || asJSON.On() {
				return err
			}
			if shown == 0 {
				say(cmd, "No locks are held or waited for.")
				return nil
			}
			if err := printTable(&t, page, cmd.OutOrStdout()); err != nil {
				return err
			}
			if more {
				say(cmd, "%d shown; there are more: --limit", shown)
			}
			return nil
		})
	})
	f := cmd.Flags()
	f.StringVar(&o.Match, "match", "", "only locks whose names match this glob-style `pattern`")
	f.StringVar(&o.Owner, "owner", "", "only locks that this owner holds or waits for")
	f.BoolVar(&waiting, "waiting", false, "only locks that somebody waits for")
	f.StringVar(&over, "held-over", "", "only locks that are held for longer than this")
	f.IntVarP(&limit, "limit", "n", 100, "show so many at most")
	watch.Register(cmd)
	asJSON.Register(cmd, lock.Info{})
	return cmd
}

func heldLonger(l *lock.Info, d time.Duration) bool {
	for _, h := range l.Holders {
		if h.Held > d {
			return true
		}
	}
	return false
}

func newLockInfo() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	cmd := verb(&cobra.Command{
		Use: "info LOCK", Short: "Tell who holds a lock, and who waits, in order", Args: cobra.ExactArgs(1), Example: "  holdfast lock info nightly",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			l, err := lock.Inspect(s.UniversalClient).Info(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON.On() {
				return cli.PrintJSON(page, l)
			}
			if len(l.Holders) == 0 && len(l.Waiters) == 0 {
				return cli.NotMet("holdfast lock ls", "%s is free", args[0])
			}
			return printLock(page, cmd.OutOrStdout(), &l)
		})
	})
	watch.Register(cmd)
	asJSON.Register(cmd, lock.Info{})
	return cmd
}

func printLock(page, out io.Writer, l *lock.Info) error {
	limit := ""
	if l.Limit > 1 {
		limit = fmt.Sprintf(" of %d", l.Limit)
	}
	fmt.Fprintf(page, "%s: %s, %d%s hold it, %d wait; %s ran out while held\n", cli.Printable(l.Name), l.Mode, l.Holding, limit, l.Waiting, plural(l.ExpiredWhileHeld, "lease", "leases"))
	t := cli.Table{Head: []string{"HOLDER", "HELD", "LEFT", "TOKEN", "META"}}
	for _, h := range l.Holders {
		token := any(fmt.Sprint(h.Token))
		held := any(h.Held)
		if h.Foreign {
			token, held = nil, nil
		}
		t.Row(h.Owner, held, left(h.Left), token, h.Meta)
	}
	if err := printTable(&t, page, out); err != nil || len(l.Waiters) == 0 {
		return err
	}
	fmt.Fprintln(page)
	t = cli.Table{Head: []string{"", "WAITS", "SINCE", "MODE"}}
	for n, w := range l.Waiters {
		t.Row(n+1, w.Owner, w.Waited, w.Mode)
	}
	return printTable(&t, page, out)
}

func newLockWatch() *cobra.Command {
	var asJSON cli.JSON
	cmd := verb(&cobra.Command{
		Use: "watch LOCK", Short: "Show each change of who holds a lock and who waits, until Ctrl-C", Args: cobra.ExactArgs(1),
		Long: `Show each change of who holds a lock and who waits for it, until Ctrl-C. The lock is looked at once
a second, and at once where the server publishes keyspace events (notify-keyspace-events KA).`,
		Example: "  holdfast lock watch nightly",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		return lock.Inspect(s.UniversalClient).Observe(cmd.Context(), args[0], func(l lock.Info) error {
			w := cmd.OutOrStdout()
			if asJSON.On() {
				return cli.PrintJSON(w, l)
			}
			line := time.Now().Format("15:04:05.000") + "  free"
			for n, h := range l.Holders {
				if n == 0 {
					line = time.Now().Format("15:04:05.000") + "  held by "
				} else {
					line += ", "
				}
				line += cli.Printable(h.Owner)
				if h.Token > 0 {
					line += fmt.Sprintf(" (token %d)", h.Token)
				}
			}
			_, err := fmt.Fprintf(w, "%s, %s\n", cli.Cut(line, cli.Width(w)), plural(int64(len(l.Waiters)), "waits", "wait"))
			return err
		})
	})
	asJSON.Register(cmd, lock.Info{})
	return cmd
}

func newLockBreak() *cobra.Command {
	var consent cli.Consent
	var asJSON cli.JSON
	var owner string
	cmd := verb(&cobra.Command{
		Use: "break LOCK", Short: "Take a lock away from its holders", Args: cobra.ExactArgs(1),
		Long: `Take a lock away from its holders, or from one owner. The next in line is served at once. A holder
that still works learns of it at its next renewal: what the lock guards should check fencing tokens.`,
		Example: `  holdfast lock break nightly
  holdfast lock break crawler --owner web-1:77:3`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		i := lock.Inspect(s.UniversalClient)
		l, err := i.Info(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var sample []string
		n := 0
		for _, h := range l.Holders {
			if owner == "" || h.Owner == owner {
				n++
				if len(sample) < 5 {
					sample = append(sample, fmt.Sprintf("%s, for %s, %v left", h.Owner, cli.Duration(h.Held), cli.Cell(left(h.Left))))
				}
			}
		}
		for _, w := range l.Waiters {
			if owner != "" && w.Owner == owner {
				sample = append(sample, owner+", which waits")
				n++
			}
		}
		if n == 0 {
			return cli.NotMet(shell.Command("lock info", nil, args[0]), "nobody holds %s", args[0])
		}
		act := cli.Act{What: fmt.Sprintf("break %s, which %s; %d wait", args[0], plural(int64(n), "owner holds", "owners hold"), len(l.Waiters)), Sample: sample, Name: args[0]}
		if ok, err := consent.Ask(cmd, s, act); err != nil || !ok {
			return err
		}
		broken, err := i.Break(cmd.Context(), args[0], owner)
		if err != nil {
			return err
		}
		if asJSON.On() {
			return cli.PrintJSON(cmd.OutOrStdout(), countRow{broken})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s removed\n", plural(int64(broken), "holder", "holders"))
		return nil
	})
	cmd.Flags().StringVar(&owner, "owner", "", "only this owner, and its wait")
	consent.Register(cmd)
	asJSON.Register(cmd, countRow{})
	return cmd
}
