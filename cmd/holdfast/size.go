package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/cmd/internal/size"
)

// newSize reckons, and asks no server.
func newSize() *cobra.Command {
	var asJSON cli.JSON
	load, node := size.Load{Payload: 500, ValueBytes: 1000, Clients: 1}, size.DefaultNode
	cmd := &cobra.Command{
		Use: "size", Short: "Reckon how many servers a load needs and what gives out first", Args: cobra.NoArgs,
		Long: `Reckon how many primaries a load needs, how many partitions the queue, how busy, how full and
how connected the busiest primary is, and what gives out first when the load grows.

No server is asked. What an operation and a byte cost was measured by make scale on one
machine: measure on yours before you buy. Each primary wants a replica beside.`,
		Example: `  holdfast size --tasks-per-s 20000 --workers 200 --backlog 5000000
  holdfast size --locks-per-s 30000 --waiters 20000 --clients 400
  holdfast size --hits-per-s 100000 --values 50000000 --value-bytes 2000 --gb 32 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := size.For(load, node, size.Measured)
			if err != nil {
				return err
			}
			if asJSON.On() {
				return cli.PrintJSON(cmd.OutOrStdout(), plan)
			}
			return printPlan(cmd.OutOrStdout(), plan, node)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&load.TasksPerS, "tasks-per-s", 0, "tasks published, taken and acknowledged in a second")
	f.IntVar(&load.Payload, "payload", load.Payload, "bytes of a task")
	f.IntVar(&load.Backlog, "backlog", 0, "tasks that the queue holds at most: waiting, in work, delayed")
	f.IntVar(&load.Workers, "workers", 0, "processes that work on the queue")
	f.Float64Var(&load.LocksPerS, "locks-per-s", 0, "locks acquired and released in a second")
	f.IntVar(&load.LocksHeld, "locks-held", 0, "locks held at once")
	f.Float64Var(&load.HottestPS, "hottest-per-s", 0, "how often in a second the most wanted lock is handed over")
	f.Float64Var(&load.HitsPerS, "hits-per-s", 0, "cached values read in a second")
	f.Float64Var(&load.LoadsPerS, "loads-per-s", 0, "cached values loaded and stored in a second")
	f.IntVar(&load.Values, "values", 0, "values in the cache")
	f.IntVar(&load.ValueBytes, "value-bytes", load.ValueBytes, "bytes of a cached value")
	f.IntVar(&load.Waiters, "waiters", 0, "clients that wait for locks or values at once")
	f.IntVar(&load.Clients, "clients", load.Clients, "processes that send commands, beside the workers")
	f.Float64Var(&node.Core, "core", node.Core, "the share of a core that a server may use")
	f.Float64Var(&node.Gigabytes, "gb", node.Gigabytes, "gigabytes of memory of a server")
	f.IntVar(&node.MaxClients, "maxclients", node.MaxClients, "maxclients of a server")
	f.IntVar(&node.Pool, "pool", node.Pool, "connections that a process keeps to a server")
	asJSON.Register(cmd, size.Plan{})
	return cmd
}

func printPlan(w io.Writer, p size.Plan, n size.Node) error {
	_, err := fmt.Fprintf(w, `primaries      %d
partitions     %d
busiest        %.0f %% of a core of the %.0f %% allowed, %.1f of %.1f GB, %s of %s connections
first          %s, at %.1f times this load
`, p.Primaries, p.Partitions, 100*p.CPU, 100*n.Core, p.Memory/1e9, n.Gigabytes, cli.Number(int64(p.Clients)), cli.Number(int64(n.MaxClients)), p.First, p.At)
	for _, note := range p.Notes {
		if err == nil {
			_, err = fmt.Fprintf(w, "note           %s\n", note)
		}
	}
	return err
}
