package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/cmd/internal/cli"
)

// newMan is the verb that make generate uses to write docs/man. Nobody else needs it.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:     "man FOLDER",
		Short:   "Write the manual pages of all verbs into a folder",
		Example: "  holdfast man docs/man",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for name, page := range manPages(cmd.Root()) {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(page), 0o644); err != nil {
					return cli.Try(err, "a folder that is there and may be written to")
				}
			}
			return nil
		},
	}
}

// manPages are the manual pages of a command and those below it, by file name. They have neither date
// nor version, so the same source gives the same pages.
func manPages(cmd *cobra.Command) map[string]string {
	if !cmd.HasParent() { // below another command it would add a completion to each completion
		cmd.InitDefaultCompletionCmd()
	}
	pages := map[string]string{manName(cmd) + ".1": manPage(cmd)}
	for _, c := range manChildren(cmd) {
		for name, page := range manPages(c) {
			pages[name] = page
		}
	}
	return pages
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func manChildren(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" {
			all = append(all, c)
		}
	}
	return all
}

func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := manName(cmd)
	fmt.Fprintf(&b, ".TH %s 1 \"\" Holdfast \"Holdfast\"\n", roff(strings.ToUpper(name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	cmd.InitDefaultHelpFlag()
	fmt.Fprintf(&b, ".SH SYNOPSIS\n\\fB%s\\fR\n", roff(cmd.UseLine()))
	if cmd.Long != "" {
		b.WriteString(".SH DESCRIPTION\n")
		for part := range strings.SplitSeq(strings.Trim(cmd.Long, "\n"), "\n\n") {
			if strings.Contains(part, "  ") { // columns
				fmt.Fprintf(&b, ".PP\n.EX\n%s\n.EE\n", roff(part))
			} else {
				fmt.Fprintf(&b, ".PP\n%s\n", roff(part))
			}
		}
	}
	children := manChildren(cmd)
	if len(children) > 0 {
		b.WriteString(".SH COMMANDS\n")
	}
	for _, c := range children {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR(1)\n%s\n", roff(manName(c)), roff(c.Short))
	}
	b.WriteString(".SH OPTIONS\n")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n\\fB")
		if f.Shorthand != "" {
			b.WriteString(roff("-"+f.Shorthand) + "\\fR, \\fB")
		}
		b.WriteString(roff("--"+f.Name) + "\\fR")
		switch {
		case f.NoOptDefVal != "" && value != "":
			fmt.Fprintf(&b, "[=\\fI%s\\fR]", roff(value))
		case value != "":
			fmt.Fprintf(&b, " \\fI%s\\fR", roff(value))
		}
		fmt.Fprintf(&b, "\n%s", roff(usage))
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" {
			fmt.Fprintf(&b, " (default %s)", roff(d))
		}
		b.WriteString("\n")
	})
	if cmd.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.EX\n%s\n.EE\n", roff(strings.Trim(cmd.Example, "\n")))
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n%s\n", roff(strings.TrimPrefix(cli.ExitCodes, "Exit codes: ")))
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n\\fB%s\\fR(1)\n", roff(manName(cmd.Parent())))
	}
	return b.String()
}

// roff is text as troff reads it: a hyphen that can be copied, and no line that begins a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
