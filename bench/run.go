package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"holdfast/bench/internal/result"
)

// groupLimit is when a group is taken to hang.
const groupLimit = 6 * time.Minute

// runAll runs the groups one after the other and writes the results after each,
// so that what was measured is there however the run ends. Groups that the run has
// already are run again, and what comes of it stands in the place of what was.
func runAll(ctx context.Context, run result.Run, wanted *regexp.Regexp, out string) result.Run {
	began := time.Now()
	var todo []string
	for _, name := range names() {
		if wanted.MatchString(name) {
			todo = append(todo, name)
		}
	}
	old := run.Groups
	for i, name := range todo {
		fmt.Fprintf(os.Stderr, "[%d/%d] %s (%s so far)\n", i+1, len(todo), name, time.Since(began).Round(time.Second))
		group := result.Group{Name: name}
		if slices.ContainsFunc(old, func(g result.Group) bool { return g.Name == name }) {
			group.Again = began.UTC().Format("2006-01-02") + " at " + commit()
		}
		start := time.Now()
		figures, err := runChild(ctx, name, run.Quick)
		took := time.Since(start)
		group.Seconds = int(took.Round(time.Second).Seconds())
		if err != nil {
			group.Error = err.Error()
			fmt.Fprintf(os.Stderr, "  FAILED: %v\n", err)
		}
		run.Put(group, figures)
		run.Seconds = 0
		for _, g := range run.Groups {
			run.Seconds += g.Seconds
		}
		if ctx.Err() != nil {
			run.Complete = false
		}
		if err := run.Write(out); err != nil {
			fail(err)
		}
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "interrupted")
			break
		}
	}
	fmt.Fprintf(os.Stderr, "%s in %s\n", out, time.Since(began).Round(time.Second))
	return run
}

// runChild runs a group in a process of its own, and answers the figures that it
// told of, also those from before it failed.
func runChild(ctx context.Context, name string, quick bool) (figures []result.Figure, err error) {
	// What the group's servers leave in temporary folders goes with this one.
	tmp, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, groupLimit, fmt.Errorf("took longer than %s", groupLimit))
	defer cancel()
	args := []string{"-group", name}
	if quick {
		args = append(args, "-quick")
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	// A group of its own: Ctrl-C reaches it through us. Its servers go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = io.MultiWriter(os.Stderr, &said)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the child goes with this thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewReader(stdout); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var f result.Figure
		if err := json.Unmarshal(line, &f); err != nil {
			fmt.Fprintf(os.Stderr, "  %s", line)
			continue
		}
		figures = append(figures, f)
		fmt.Fprintln(os.Stderr, "  "+strings.Join(full(f.Cells()), "  "))
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return figures, context.Cause(ctx)
		}
		said := strings.TrimSpace(said.String())
		return figures, fmt.Errorf("%w: %s", err, strings.TrimPrefix(said[max(strings.LastIndex(said, "bench: "), 0):], "bench: "))
	}
	return figures, nil
}

func full(cells []string) (out []string) {
	for _, c := range cells {
		if c != "" {
			out = append(out, c)
		}
	}
	return out
}

// show prints the table.
func show(run result.Run) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	group, missed := "", 0
	for _, f := range run.Figures {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(t, "\n%s\n", strings.ToUpper(group))
			fmt.Fprintln(t, "  "+strings.Join(result.Titles, "\t"))
		}
		fmt.Fprintln(t, "  "+strings.Join(f.Cells(), "\t"))
		if f.Met != nil && !*f.Met {
			missed++
		}
	}
	_ = t.Flush()
	fmt.Printf("\n%d figures in %d s, %d goals missed\n", len(run.Figures), run.Seconds, missed)
	for _, g := range run.Groups {
		if g.Error != "" {
			fmt.Printf("FAILED: %s: %s\n", g.Name, g.Error)
		}
	}
}

// report says what moved between two runs; 1 if anything got worse.
func report(w io.Writer, paths []string, runs [2]result.Run) int {
	fmt.Fprintf(w, "%s (%s) → %s (%s)\n", paths[0], runs[0].Commit, paths[1], runs[1].Commit)
	if runs[0].Machine != runs[1].Machine {
		fmt.Fprintf(w, "not the same machine or software: %+v, %+v; ratios can be compared, the rest hardly\n", runs[0].Machine, runs[1].Machine)
	}
	for _, r := range runs {
		if r.Quick || !r.Complete {
			fmt.Fprintf(w, "the run of %s was quick or is incomplete\n", r.Date)
		}
	}
	moves, gone := result.Compare(runs[0], runs[1])
	code := 0
	for _, m := range moves {
		if m.Worse {
			code = 1
		}
		fmt.Fprintln(w, m)
	}
	for _, key := range gone {
		fmt.Fprintln(w, "gone:", key)
	}
	fmt.Fprintf(w, "%d of %d figures moved more than the noise\n", len(moves), len(runs[1].Figures))
	return code
}
