package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
)

// benchRow is an operation beside the commands that do the same without the modules.
type benchRow struct {
	Operation string      `json:"operation"`
	Beside    string      `json:"beside" help:"the commands without the modules"`
	Ours      benchFigure `json:"ours"`
	Bare      benchFigure `json:"bare"`
	Ratio     float64     `json:"ratio" help:"p50 of ours by p50 of bare"`
}

// benchFigure is how long an operation took.
type benchFigure struct {
	Count     int           `json:"count" help:"how often it was done"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	PerSecond float64       `json:"per_second"`
	Loads     float64       `json:"loads,omitempty" help:"of a stampede: loads for each miss"`
}

func newBench() *cobra.Command {
	var asJSON cli.JSON
	var consent cli.Consent
	var during string
	cmd := verb(&cobra.Command{
		Use: "bench", Short: "Measure this server: a few operations beside the bare commands", Args: cobra.NoArgs,
		Long: `Measure this server for some seconds: a few operations, each beside the commands that do the same
without the modules, in turns. Nearly all of the time is the network's and the server's: compare
the two lines of an operation, not figures of different days.

Only keys below holdfast:bench: are touched, and they are deleted at the end, also after Ctrl-C.
The server is busy meanwhile, and its counters count what was done: in a production context the
tool asks first.`,
		Example: `  holdfast bench
  holdfast bench --for 5s --json`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) (err error) {
		d, err := cli.ParseDuration(during)
		if err != nil {
			return err
		}
		if d < 10*time.Millisecond {
			return cli.Usage("--for %s: 10ms at least", during)
		}
		b := bench{rdb: s.UniversalClient, during: d, prefix: "holdfast:bench:{" + strings.ToLower(rand.Text()[:8]) + "}:", payload: strings.Repeat("x", 100)}
		operations := b.operations()
		if consent.DryRun() || s.Production {
			act := cli.Act{What: fmt.Sprintf("keep the server busy for some %s with keys below %s", cli.Duration(2*d*time.Duration(len(operations))), b.prefix), Name: "bench"}
			if ok, err := consent.Ask(cmd, s, act); err != nil || !ok {
				return err
			}
		}
		defer func() {
			if clearErr := b.clear(cmd.Context()); err == nil {
				err = clearErr
			}
		}()
		if !asJSON.On() {
			fmt.Fprintf(cmd.OutOrStdout(), "%s, %s, %d bytes, each for %s\n\n%-34s %8s %8s %9s  %s\n", s.Name, serverName(cmd.Context(), s), len(b.payload), cli.Duration(d), "", "P50", "P99", "/S", "P50 RATIO")
		}
		for _, o := range operations {
			row, err := b.measure(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
			if asJSON.On() {
				err = cli.PrintJSON(cmd.OutOrStdout(), row)
			} else {
				err = printBench(cmd, row)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	cmd.Flags().StringVar(&during, "for", "1s", "measure each side of an operation for so long")
	consent.Register(cmd)
	asJSON.Register(cmd, benchRow{})
	return cmd
}

// printBench prints an operation and, below it, the bare commands.
func printBench(cmd *cobra.Command, row benchRow) error {
	line := func(name string, f benchFigure, behind string) error {
		if f.Loads > 0 {
			behind = strings.TrimLeft(fmt.Sprintf("%s  %.3g loads a miss", behind, f.Loads), " ")
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%-34s %8s %8s %9s  %s\n", name, short(f.P50), short(f.P99), cli.Number(int64(f.PerSecond)), behind)
		return err
	}
	if err := line(row.Operation, row.Ours, fmt.Sprintf("%.2f", row.Ratio)); err != nil {
		return err
	}
	return line("  "+row.Beside, row.Bare, "")
}

// short is a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3gms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.3gs", d.Seconds())
}

// serverName is the server's program and version.
func serverName(ctx context.Context, s redis.UniversalClient) string {
	info, err := s.InfoMap(ctx, "server").Result()
	if err != nil {
		return "a server"
	}
	if v := info["Server"]["valkey_version"]; v != "" {
		return "Valkey " + v
	}
	return "Redis " + info["Server"]["redis_version"]
}
