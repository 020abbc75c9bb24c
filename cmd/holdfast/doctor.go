package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/cmd/internal/metrics"
	"holdfast/internal/doctor"
)

func newDoctor() *cobra.Command {
	var asJSON cli.JSON
	var asMetrics bool
	var o doctor.Options
	var gone string
	cmd := verb(&cobra.Command{
		Use: "doctor", Short: "Examine servers and queues: what is wrong, why it matters, what cures it", Args: cobra.NoArgs,
		Long: `Examine all servers, replicas included, and their queues: what is wrong, why it matters, and
the command that cures it. Nothing is changed.

Its exit code is 0 when all is well, 1 with warnings, 2 when something is critical.`,
		Example: `  holdfast doctor
  holdfast doctor --json
  holdfast doctor --prometheus > holdfast.prom`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		var err error
		if o.Gone, err = cli.ParseDuration(gone); err != nil {
			return err
		}
		report, err := doctor.Examine(cmd.Context(), s.UniversalClient, o)
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		switch {
		case asJSON.On():
			err = cli.PrintJSON(w, report)
		case asMetrics:
			err = printFindingMetrics(w, report)
		default:
			printReport(w, report)
		}
		if err != nil {
			return err
		}
		switch report.Worst() {
		case doctor.Critical:
			return cli.Exit(2)
		case doctor.Warning:
			return cli.Exit(1)
		}
		return nil
	})
	cmd.Flags().BoolVar(&asMetrics, "prometheus", false, "print metrics for node_exporter's textfile collector")
	cmd.Flags().StringVar(&gone, "gone", "10m", "take a consumer that has tasks for dead after so long a silence")
	cmd.Flags().IntVar(&o.Queues, "queues", 1000, "look into so many queues at most")
	asJSON.Register(cmd, doctor.Report{})
	return cmd
}

func printReport(w io.Writer, r *doctor.Report) {
	for _, f := range r.Findings {
		mark := string(f.Severity)
		if cli.Colour(w) {
			mark = map[doctor.Severity]string{doctor.Critical: "\x1b[31m", doctor.Warning: "\x1b[33m"}[f.Severity] + mark + "\x1b[0m"
		}
		fmt.Fprintf(w, "%s: %s\n  Why:  %s\n  Cure: %s\n\n", mark, f.What, f.Why, f.Cure)
	}
	well := "All is well"
	if n := len(r.Findings); n > 0 {
		well = plural(int64(n), "finding", "findings")
	}
	fmt.Fprintf(w, "%s: %s and %s examined.\n", well, plural(int64(r.Nodes), "server", "servers"), plural(int64(r.Queues), "queue", "queues"))
}

func printFindingMetrics(w io.Writer, r *doctor.Report) error {
	_, err := fmt.Fprintln(w, "# HELP holdfast_doctor_finding What holdfast doctor found; 1 for each finding.\n# TYPE holdfast_doctor_finding gauge")
	for _, f := range r.Findings {
		if err == nil {
			_, err = fmt.Fprintf(w, "holdfast_doctor_finding{%s,%s,%s,%s} 1\n", metrics.Label("id", f.ID), metrics.Label("severity", string(f.Severity)), metrics.Label("node", f.Node), metrics.Label("queue", f.Queue))
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "# HELP holdfast_doctor_findings Number of findings by severity.\n# TYPE holdfast_doctor_findings gauge\nholdfast_doctor_findings{severity=\"critical\"} %d\nholdfast_doctor_findings{severity=\"warning\"} %d\n", count(r, doctor.Critical), count(r, doctor.Warning))
	}
	return err
}

func count(r *doctor.Report, s doctor.Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}
