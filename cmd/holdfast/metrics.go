package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/cmd/internal/metrics"
)

// scrapeWithin bounds how long a scrape may take.
const scrapeWithin = 10 * time.Second

func newMetrics() *cobra.Command {
	var listen string
	var o metrics.Options
	var once bool
	cmd := verb(&cobra.Command{
		Use: "metrics", Short: "Serve metrics for Prometheus", Args: cobra.NoArgs,
		Long: `Serve metrics for Prometheus at /metrics: what INFO tells of the three modules on every server,
and the state of each queue. deploy/prometheus has alert rules and a Grafana dashboard for them.`,
		Example: `  holdfast metrics
  holdfast metrics --listen :9121 --queues 'mail*'
  holdfast metrics --once`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		scrape := func(ctx context.Context, w io.Writer) error {
			ctx, cancel := context.WithTimeout(ctx, scrapeWithin)
			defer cancel()
			return metrics.Write(ctx, w, s.UniversalClient, o)
		}
		if once {
			return scrape(cmd.Context(), cmd.OutOrStdout())
		}
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return cli.Try(err, "--listen 127.0.0.1:9122")
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			if err := scrape(r.Context(), w); err != nil {
				say(cmd, "scrape: %v", err)
			}
		})
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "Holdfast's metrics are at /metrics.")
		})
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
		defer context.AfterFunc(cmd.Context(), func() { _ = server.Close() })()
		fmt.Fprintf(cmd.OutOrStdout(), "http://%s/metrics, until Ctrl-C\n", l.Addr())
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9121", "the address to serve at")
	cmd.Flags().BoolVar(&once, "once", false, "print them once, and serve nothing")
	cmd.Flags().StringVar(&o.Queues, "queues", "", "only queues whose names match this glob-style `pattern`")
	cmd.Flags().IntVar(&o.MaxQueues, "max-queues", 1000, "tell of so many queues at most")
	return cmd
}
