package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cache"
	"holdfast/cmd/internal/cli"
)

func newCache() *cobra.Command {
	return parent("cache", "Look into caches, and invalidate", "Look into caches: what is stored, what is being loaded and who waits for it, what is saved.",
		newCacheInfo(), newCacheStats(), newCacheLoads(), newCacheDel())
}

// cacheRow is what is known of a key, as JSON.
type cacheRow struct {
	Key string `json:"key"`
	cache.Info
}

func newCacheInfo() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	cmd := verb(&cobra.Command{
		Use: "info KEY", Short: "Tell what is known of a key: value, load, who waits", Args: cobra.ExactArgs(1), Example: "  holdfast cache info user:7",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			info, err := cache.Inspect(s.UniversalClient).Info(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON.On() {
				return cli.PrintJSON(page, cacheRow{args[0], info})
			}
			switch {
			case info.Present:
				fmt.Fprintf(page, "value   %s bytes, %s left\n", cli.Number(info.Bytes), orEver(info.TTL))
			case info.Absent:
				fmt.Fprintf(page, "value   known to be absent, for %s more\n", orEver(info.TTL))
			default:
				fmt.Fprintln(page, "value   none")
			}
			if info.Loading {
				fmt.Fprintf(page, "load    under way for %s; its lease ends in %s, its time in %s\n", cli.Duration(info.Age), cli.Duration(info.Lease), cli.Duration(info.Budget))
				fmt.Fprintf(page, "waiting %s\n", plural(info.Waiters, "connection", "connections"))
			}
			if info.Failed != "" {
				fmt.Fprintf(page, "failed  %s; nobody loads for %s\n", cli.Printable(info.Failed), cli.Duration(info.Backoff))
			}
			if !info.Present && !info.Absent && !info.Loading && info.Failed == "" {
				return cli.NotMet("holdfast cache loads", "nothing is known of %s", args[0])
			}
			return nil
		})
	})
	watch.Register(cmd)
	asJSON.Register(cmd, cacheRow{})
	return cmd
}

func orEver(d time.Duration) string {
	if d <= 0 {
		return "for ever"
	}
	return cli.Duration(d)
}

func newCacheStats() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	cmd := verb(&cobra.Command{
		Use: "stats", Short: "Tell what the cache saves: hits, loads, those who waited", Args: cobra.NoArgs, Example: "  holdfast cache stats --watch",
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			stats, err := cache.Inspect(s.UniversalClient).Stats(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON.On() {
				return cli.PrintJSON(page, stats)
			}
			hits := stats["hits"] + stats["absent_hits"] + stats["stale_hits"]
			if asked := hits + stats["misses"]; asked > 0 {
				fmt.Fprintf(page, "%s asked, %.1f %% found; %s, %s avoided by waiting\n\n", cli.Number(asked), 100*float64(hits)/float64(asked),
					plural(stats["loads"], "load", "loads"), cli.Number(stats["loads_avoided"]))
			}
			t := cli.Table{}
			var names []string
			for name := range stats {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				t.Row(strings.ReplaceAll(name, "_", " "), stats[name])
			}
			return printTable(&t, page, cmd.OutOrStdout())
		})
	})
	watch.Register(cmd)
	asJSON.Register(cmd, map[string]int64{})
	return cmd
}

func newCacheLoads() *cobra.Command {
	var asJSON cli.JSON
	var watch cli.Watch
	var limit int
	cmd := verb(&cobra.Command{
		Use: "loads", Short: "List the loads under way, those most waited for first", Args: cobra.NoArgs, Example: "  holdfast cache loads --watch=1s",
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		return watch.Run(cmd.Context(), cmd.OutOrStdout(), func(page io.Writer) error {
			loads, err := cache.Inspect(s.UniversalClient).Loads(cmd.Context(), limit)
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"KEY", "SINCE", "LEASE LEFT", "WAITING"}}
			for _, l := range loads {
				if asJSON.On() {
					if err := cli.PrintJSON(page, l); err != nil {
						return err
					}
					continue
				}
				t.Row(l.Key, l.Age, l.Lease, l.Waiters)
			}
			switch {
			case asJSON.On():
				return nil
			case t.Len() == 0:
				say(cmd, "Nothing is being loaded.")
				return nil
			}
			return printTable(&t, page, cmd.OutOrStdout())
		})
	})
	cmd.Flags().IntVarP(&limit, "limit", "n", 30, "show so many of each server at most")
	watch.Register(cmd)
	asJSON.Register(cmd, cache.Load{})
	return cmd
}

func newCacheDel() *cobra.Command {
	var consent cli.Consent
	var asJSON cli.JSON
	cmd := verb(&cobra.Command{
		Use: "del KEY…", Short: "Remove values, and end loads that read what was before", Args: cobra.MinimumNArgs(1),
		Example: "  holdfast cache del user:7 user:8",
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		a := cli.Act{What: "remove " + plural(int64(len(args)), "value", "values"), Sample: args[:min(len(args), 5)], Name: args[0]}
		if ok, err := consent.Ask(cmd, s, a); err != nil || !ok {
			return err
		}
		n, err := cache.Inspect(s.UniversalClient).Delete(cmd.Context(), args...)
		if err != nil {
			return err
		}
		if asJSON.On() {
			return cli.PrintJSON(cmd.OutOrStdout(), countRow{int(n)})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s removed\n", plural(n, "value", "values"))
		return nil
	})
	consent.Register(cmd)
	asJSON.Register(cmd, countRow{})
	return cmd
}
