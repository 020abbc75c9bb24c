// Command bench measures Holdfast beside what people use today, on one machine
// in one run, and writes down what it saw.
//
//	go run . [-only regexp] [-quick] [-out results/DATE.json]
//
// Every comparison is made in pairs, ours and the peer's in turn, and quotes
// the median of the pairs' ratios with their spread: absolute figures depend on
// the machine, and drift while it runs.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one comparison or figure.
type Row struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Ours   Stat   `json:"ours"`
	Peer   string `json:"peer,omitempty"` // whom we are beside
	Theirs *Stat  `json:"theirs,omitempty"`
	Ratio  *Stat  `json:"ratio,omitempty"` // ours / theirs, pair by pair
	Goal   string `json:"goal,omitempty"`
	Met    *bool  `json:"met,omitempty"`
	Note   string `json:"note,omitempty"`
}

// Stat sums up several runs.
type Stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func stat(v []float64) Stat {
	s := slices.Clone(v)
	slices.Sort(s)
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (m + s[len(s)/2-1]) / 2
	}
	return Stat{m, s[0], s[len(s)-1]}
}

// Goal is what a ratio or a figure ought to be: the server is right, the goal
// may be missed, and then the table says so.
type Goal struct {
	text string
	met  func(row Row) bool
}

// AtMost and AtLeast are goals for the ratio, or for our figure where there is
// no peer.
func AtMost(x float64) Goal {
	return Goal{fmt.Sprintf("≤ %g", x), func(r Row) bool { return value(r) <= x }}
}
func AtLeast(x float64) Goal {
	return Goal{fmt.Sprintf("≥ %g", x), func(r Row) bool { return value(r) >= x }}
}

func value(r Row) float64 {
	if r.Ratio != nil {
		return r.Ratio.Median
	}
	return r.Ours.Median
}

// Bench collects rows.
type Bench struct {
	Quick bool
	rows  []Row
	group string
}

// Pairs is how many times a comparison is repeated.
func (b *Bench) Pairs() int {
	if b.Quick {
		return 3
	}
	return 7
}

// Compare measures ours and theirs in turn and writes a row.
func (b *Bench) Compare(name, unit, peer string, goals []Goal, ours, theirs func() float64) Row {
	var a, z, ratio []float64
	for range b.Pairs() {
		x, y := ours(), theirs()
		a, z, ratio = append(a, x), append(z, y), append(ratio, x/y)
	}
	t, r := stat(z), stat(ratio)
	return b.add(Row{Name: name, Unit: unit, Ours: stat(a), Peer: peer, Theirs: &t, Ratio: &r}, goals)
}

// Figure measures ours alone.
func (b *Bench) Figure(name, unit string, goals []Goal, ours func() float64) Row {
	var a []float64
	for range b.Pairs() {
		a = append(a, ours())
	}
	return b.add(Row{Name: name, Unit: unit, Ours: stat(a)}, goals)
}

func (b *Bench) add(r Row, goals []Goal) Row {
	r.Group = b.group
	for _, g := range goals {
		met := g.met(r) && (r.Met == nil || *r.Met)
		r.Met = &met
		r.Goal = strings.TrimSpace(r.Goal + " " + g.text)
	}
	b.rows = append(b.rows, r)
	fmt.Fprintln(os.Stderr, "  "+strings.ReplaceAll(line(r), "\t", "  "))
	return r
}

func line(r Row) string {
	theirs, ratio := "", ""
	if r.Theirs != nil {
		theirs = fmt.Sprintf("%.4g %s", r.Theirs.Median, r.Peer)
		ratio = fmt.Sprintf("%.2f (%.2f–%.2f)", r.Ratio.Median, r.Ratio.Min, r.Ratio.Max)
	}
	verdict := ""
	if r.Met != nil {
		verdict = map[bool]string{true: "met", false: "MISSED"}[*r.Met]
	}
	return fmt.Sprintf("%s\t%s\t%.4g %s\t%s\t%s\t%s\t%s\t%s", r.Group, r.Name, r.Ours.Median, r.Unit, theirs, ratio, r.Goal, verdict, r.Note)
}

// experiments in the order in which they run; files add theirs.
var experiments []experiment

type experiment struct {
	group string
	run   func(*Bench) error
}

func main() {
	only := flag.String("only", "", "run the groups that match this regular expression")
	quick := flag.Bool("quick", false, "fewer pairs and shorter runs: a look, not a measurement")
	out := flag.String("out", "", "write the results to this file (JSON)")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fail(err)
	}
	b := &Bench{Quick: *quick}
	slices.SortStableFunc(experiments, func(x, y experiment) int { return cmp.Compare(x.group, y.group) })
	start := time.Now()
	for _, e := range experiments {
		if !wanted.MatchString(e.group) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s (%s so far)\n", e.group, time.Since(start).Round(time.Second))
		b.group = e.group
		if err := e.run(b); err != nil {
			fail(fmt.Errorf("%s: %w", e.group, err))
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "group\twhat\tours\ttheirs\tratio (min–max)\tgoal\t\t")
	for _, r := range b.rows {
		fmt.Fprintln(table, line(r))
	}
	_ = table.Flush()
	if *out != "" {
		if err := write(*out, b.rows, time.Since(start)); err != nil {
			fail(err)
		}
	}
}

func write(path string, rows []Row, took time.Duration) error {
	data, err := json.MarshalIndent(map[string]any{
		"date": time.Now().UTC().Format("2006-01-02"), "go": runtime.Version(), "cpus": runtime.NumCPU(),
		"cpu": cpuModel(), "server": serverVersion(), "seconds": int(took.Seconds()), "rows": rows,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
