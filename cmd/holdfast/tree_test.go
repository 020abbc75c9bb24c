package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/cmd/internal/cli"
)

// verbs are all commands that do something.
func verbs(cmd *cobra.Command) (all []*cobra.Command) {
	if cmd.Name() == "help" || cmd.Name() == "completion" {
		return nil
	}
	if len(cmd.Commands()) == 0 {
		return []*cobra.Command{cmd}
	}
	for _, c := range cmd.Commands() {
		all = append(all, verbs(c)...)
	}
	return all
}

func output(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return out.String(), errs.String(), code
}

// words is how a verb is called.
func words(cmd *cobra.Command) []string { return strings.Fields(cmd.CommandPath())[1:] }

func TestEveryVerbIsExplained(t *testing.T) {
	for _, cmd := range verbs(newRoot()) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: what it does in a line, without a full stop: %q", path, cmd.Short)
		}
		if cmd.Example == "" && len(cmd.Flags().FlagUsages()) > 0 && cmd.Name() != "version" {
			t.Errorf("%s has no example", path)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.Contains(line, strings.Join(append([]string{"holdfast"}, words(cmd)...), " ")) {
				t.Errorf("%s: an example of something else: %s", path, line)
			}
		}
		if text := cmd.Long + cmd.Example + cmd.Flags().FlagUsages(); strings.Contains(text, "\t") {
			t.Errorf("%s: tabs in its help", path)
		}
		out, _, code := output(t, append(words(cmd), "--help")...)
		if code != cli.ExitDone || !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help: %d, %s", path, code, out)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not explained", path, f.Name)
			}
		})
	}
}

func TestEveryJSONHasAShape(t *testing.T) {
	any := false
	for _, cmd := range verbs(newRoot()) {
		if cmd.Flags().Lookup("json") == nil {
			continue
		}
		any = true
		out, errs, code := output(t, append(words(cmd), "--json=help")...)
		if code != cli.ExitDone || errs != "" {
			t.Errorf("%s --json=help: %d, %s", cmd.CommandPath(), code, errs)
		}
		if out == "" && cmd.CommandPath() != "holdfast cache stats" { // whose fields are those of INFO
			t.Errorf("%s --json=help says nothing", cmd.CommandPath())
		}
	}
	if !any {
		t.Fatal("no verb has --json")
	}
}

func TestWrongUsageIsExitCode2(t *testing.T) {
	for _, cmd := range verbs(newRoot()) {
		_, errs, code := output(t, append(words(cmd), "--no-such-flag")...)
		if code != cli.ExitUsage || !strings.Contains(errs, "Try:") {
			t.Errorf("%s --no-such-flag: %d, %s", cmd.CommandPath(), code, errs)
		}
		if flags := cmd.Flags(); flags.Lookup("url") != nil {
			_, errs, code := output(t, append(words(cmd), "--url", "redis://a", "--context", "b", "--json=x")...)
			if code != cli.ExitUsage {
				t.Errorf("%s with two servers: %d, %s", cmd.CommandPath(), code, errs)
			}
		}
	}
}

func TestWhatDestroysAsks(t *testing.T) {
	asks := []string{"bench", "cache del", "lock break", "queue cancel", "queue discard", "queue forget", "queue import", "queue purge", "queue redrive", "queue retry"}
	for _, cmd := range verbs(newRoot()) {
		name := strings.Join(words(cmd), " ")
		if got, want := cmd.Flags().Lookup("yes") != nil && cmd.Flags().Lookup("dry-run") != nil, slices.Contains(asks, name); got != want {
			t.Errorf("%s: asks %v, want %v", name, got, want)
		}
	}
}

func TestASilentServerIsNoHang(t *testing.T) {
	_, errs, code := output(t, "queue", "ls", "--url", "redis://127.0.0.1:1")
	if code != cli.ExitFailed || !strings.Contains(errs, "--url") {
		t.Fatalf("%d, %s", code, errs)
	}
}
