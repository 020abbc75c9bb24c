package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
)

// verb is a command that talks to a server. It gets the flags that say to which.
func verb(cmd *cobra.Command, run func(cmd *cobra.Command, s *cli.Server, args []string) error) *cobra.Command {
	var flags cli.Flags
	flags.Register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := flags.Connect(cmd.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		return run(cmd, s, args)
	}
	registerCompletions(cmd, &flags)
	return cmd
}

// parent is a command that only has verbs.
func parent(use, short, long string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(verbs...)
	return cmd
}

// nameAndCommand reads NAME -- COMMAND [ARG…]. A name that begins with a dash stands behind a first
// "--": -- NAME -- COMMAND.
func nameAndCommand(cmd *cobra.Command, args []string) (name string, command []string, ok bool) {
	switch at := cmd.ArgsLenAtDash(); {
	case at == 1 && len(args) > 1:
		return args[0], args[1:], true
	case at == 0 && len(args) > 2 && args[1] == "--":
		return args[0], args[2:], true
	}
	return "", nil, false
}

// each calls list with one cursor after another until there are no more.
func each(ctx context.Context, list func(cursor string) (next string, err error)) error {
	for cursor := ""; ; {
		next, err := list(cursor)
		if err != nil || next == "" {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		cursor = next
	}
}

// say writes a note for people beside the output.
func say(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// plural is n with a noun.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return cli.Number(n) + " " + many
}

// printTable prints a table as wide as the terminal that out is.
func printTable(t *cli.Table, page, out io.Writer) error { return t.Print(page, cli.Width(out)) }
