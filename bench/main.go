// Command bench measures Holdfast beside what people use today, on one machine
// in one run, and writes down what it saw.
//
//	go run . [-quick] [-only regexp] [-out results/DATE.json] [-docs]
//	go run . -again regexp [-docs]
//	go run . -from results/DATE.json [-docs]
//	go run . -check [OLD.json NEW.json]
//
// Every comparison is made by one process in pairs, ours and the peers' in turn,
// and quotes the median of the pairs' ratios with their spread: absolute figures
// depend on the machine, and drift while it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"holdfast/bench/internal/result"
)

func main() {
	only := flag.String("only", "", "run the groups whose names match this regular expression")
	again := flag.String("again", "", "run such groups of the newest results again, in their place")
	quick := flag.Bool("quick", false, "fewer pairs and shorter runs: a look, not a measurement")
	out := flag.String("out", "", "write the results to this file (default results/DATE.json of a whole run, out/DATE.json of any other)")
	docs := flag.Bool("docs", false, "write tables and charts into the docs and the README")
	from := flag.String("from", "", "measure nothing: show the results in this file")
	check := flag.Bool("check", false, "measure nothing: say what moved between two results, by default the newest two")
	list := flag.Bool("list", false, "list the groups")
	one := flag.String("group", "", "run this group alone and write its figures to standard output as JSON, a line each")
	flag.Parse()
	switch {
	case *list:
		for _, g := range groups {
			fmt.Println(g.name)
		}
		return
	case *one != "":
		runGroup(*one, *quick)
		return
	case *check:
		os.Exit(checkResults(flag.Args()))
	}
	var run result.Run
	var err error
	switch {
	case *from != "":
		if run, err = result.Read(*from); err != nil {
			fail(err)
		}
	case *again != "":
		all, err := result.Newest("results")
		if err != nil {
			fail(err)
		}
		if len(all) == 0 {
			fail(errors.New("there are no results in bench/results to run a part of again: make bench"))
		}
		newest := all[len(all)-1]
		if run, err = result.Read(newest); err != nil {
			fail(err)
		}
		run = measure(run, *again, newest)
	default:
		if *out == "" {
			dir := "results"
			if *quick || *only != "" {
				dir = "out"
			}
			*out = filepath.Join(dir, time.Now().UTC().Format("2006-01-02")+".json")
		}
		began := time.Now().UTC().Format(time.RFC3339)
		run = measure(result.Run{Date: began, Commit: commit(), Machine: machine(), Quick: *quick}, *only, *out)
	}
	show(run)
	if *docs {
		if err := writeDocs(run, ".."); err != nil {
			fail(err)
		}
	}
	if !run.Complete {
		os.Exit(1)
	}
}

// measure runs the groups that are wanted, until they are done or Ctrl-C.
func measure(run result.Run, groups, out string) result.Run {
	wanted, err := regexp.Compile(groups)
	if err != nil {
		fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runAll(ctx, run, wanted, out)
}

func checkResults(paths []string) int {
	if len(paths) == 0 {
		all, err := result.Newest("results")
		if err != nil {
			fail(err)
		}
		if len(all) < 2 {
			fmt.Printf("There are %d results to compare in bench/results, and it takes two.\n", len(all))
			return 0
		}
		paths = all[len(all)-2:]
	}
	if len(paths) != 2 {
		fail(fmt.Errorf("-check takes two files, old and new"))
	}
	var runs [2]result.Run
	for i, path := range paths {
		var err error
		if runs[i], err = result.Read(path); err != nil {
			fail(err)
		}
	}
	return report(os.Stdout, paths, runs)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
