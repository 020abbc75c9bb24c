package main

import (
	"context"
	"fmt"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/cmd/internal/cli"
	"holdfast/cmd/internal/top"
)

func newTop() *cobra.Command {
	var every string
	cmd := verb(&cobra.Command{
		Use: "top", Short: "Watch queues, locks and loads, and steer them", Args: cobra.NoArgs,
		Long: `Watch queues, locks and loads on a terminal of 80 columns or more, also over ssh.

  Tab, 1 2 3   queues, locks, loads           ↑ ↓ j k   choose a row
  s S          sort by the next column, or the previous
  /            show only what has a text       Esc       show all
  Enter        details                         ?         these keys
  p r          pause or resume the queue chosen
  d b x        redrive its dead letters; break the lock; remove the value (each asks first)
  q            leave`,
		Example: `  holdfast top
  holdfast top --every 5s`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		interval, err := cli.ParseDuration(every)
		if err != nil || interval < 200*time.Millisecond {
			return cli.Usage("--every %s: 200ms at least", every)
		}
		if !term.IsTerminal(int(os.Stdout.Fd())) {
			return cli.Try(cli.Usage("top needs a terminal"), "holdfast queue ls, holdfast lock ls, holdfast cache loads")
		}
		ctx, stop := context.WithCancel(cmd.Context())
		defer stop()
		m := top.New(ctx, s.UniversalClient, top.Options{Server: s.Name, Production: s.Production, Every: interval})
		_, err = tea.NewProgram(m, tea.WithAltScreen(), tea.WithContext(ctx)).Run()
		if ctx.Err() != nil {
			return fmt.Errorf("%w", ctx.Err())
		}
		return err
	})
	cmd.Flags().StringVar(&every, "every", "2s", "look again every so long")
	return cmd
}
