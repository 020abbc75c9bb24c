package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/bench/internal/result"
)

// writeDocs writes a run's tables and charts into the docs under root, and its
// summary into the README, between the marks that are there for them.
func writeDocs(run result.Run, root string) error {
	for name, svg := range charts(run) {
		path := filepath.Join(root, "docs", "performance", name+".svg")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(svg), 0o644); err != nil {
			return err
		}
	}
	parts := map[string]string{
		"machine": machineText(run),
		"missed":  missed(run),
		"readme":  summary(run),
	}
	for _, name := range names() {
		var figures []result.Figure
		for _, f := range run.Figures {
			if f.Group == name {
				figures = append(figures, f)
			}
		}
		if len(figures) > 0 {
			parts[name] = result.Markdown(figures)
		}
	}
	for _, path := range []string{"docs/performance.md", "README.md"} {
		path = filepath.Join(root, path)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(result.Fill(string(text), parts)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func machineText(run result.Run) string {
	m := run.Machine
	s := fmt.Sprintf("Measured on %s at %s: %s, %d cores, %.0f GB; %s; %s; %s. The run took %d minutes.",
		run.Date[:10], run.Commit, m.CPU, m.Cores, m.MemoryGB, m.Kernel, m.Server, m.Go, (run.Seconds+59)/60)
	if run.Quick {
		s += " **It was a quick one: a look, no measurement.**"
	}
	for _, g := range run.Groups {
		if g.Again != "" {
			s += fmt.Sprintf(" %q was run again on %s.", g.Name, g.Again)
		}
		if g.Error != "" {
			s += fmt.Sprintf(" **%q failed and is not complete.**", g.Name)
		}
	}
	return s + "\n"
}

// missed lists the goals that are not met.
func missed(run result.Run) string {
	var b strings.Builder
	total := 0
	for _, f := range run.Figures {
		if f.Met == nil {
			continue
		}
		total++
		if *f.Met {
			continue
		}
		fmt.Fprintf(&b, "- %s: %s", f.Group, f.Name)
		if f.Peer != nil {
			fmt.Fprintf(&b, ": %s of %s", f.Peer.Ratio, f.Peer.Name)
		} else {
			fmt.Fprintf(&b, ": %s %s", f.Stat, f.Unit)
		}
		fmt.Fprintf(&b, "; the goal is %s\n", f.Goal)
	}
	n := strings.Count(b.String(), "\n")
	if n == 0 {
		return fmt.Sprintf("All %d goals are met.\n", total)
	}
	return fmt.Sprintf("Of %d goals %d are missed:\n\n%s", total, n, b.String())
}

// summary is a run in a few lines, as far as it has what they quote.
func summary(run result.Run) string {
	find := func(group, name, peer string) (result.Figure, bool) {
		for _, f := range run.Figures {
			if f.Group == group && f.Name == name && (peer == "" || f.Peer != nil && strings.HasPrefix(f.Peer.Name, peer)) {
				return f, true
			}
		}
		return result.Figure{}, false
	}
	var b strings.Builder
	line := func(text string, of ...any) { fmt.Fprintf(&b, text+"\n", of...) }
	n := result.Number
	if f, ok := find("asked at the start", "of 100 callers at once, so many load", ""); ok {
		line("- Of 100 callers who miss at once, %s loads.", n(f.Value))
	}
	if f, ok := find("asked at the start", "tasks published, consumed and acknowledged", ""); ok {
		line("- %s tasks a second are published, consumed and acknowledged, one at a time by 20 workers.", n(f.Value))
	}
	if f, ok := find("asked at the start", "a lock is taken in, on average", ""); ok {
		line("- A lock is taken in %s ms on average.", n(f.Value))
	}
	if f, ok := find("locks: contended", "500 clients: longest wait", "redislock"); ok {
		line("- Of 500 who want one lock, none waits longer than %s s; with a lock that is polled, %s s.", n(f.Value/1000), n(f.Peer.Value/1000))
	}
	if f, ok := find("cache: stampede", "1,000 callers: requests per caller", "polling"); ok {
		line("- 1,000 callers who miss cost %s requests each; polling costs %s.", n(f.Value), n(f.Peer.Value))
	}
	if f, ok := find("queue: pickup", "an idle worker has its task, p99", "asynq"); ok {
		line("- An idle worker has its task in %s ms (p99); with asynq in %s ms.", n(f.Value), n(f.Peer.Value))
	}
	return b.String()
}
