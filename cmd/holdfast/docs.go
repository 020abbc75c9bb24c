package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"

	"holdfast/docs"
)

func newDocs() *cobra.Command {
	return &cobra.Command{
		Use:   "docs [module | command]",
		Short: "Print the guide, or the reference of a module or command",
		Example: `  holdfast docs                  the guide
  holdfast docs distlock         all commands of a module
  holdfast docs lock.acquire     one command`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := docs.Guide
			if len(args) == 1 {
				var err error
				if text, err = reference(strings.ToLower(args[0])); err != nil {
					return err
				}
			}
			_, err := io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
}

// reference is a module's page, or the part of it that is about a command.
func reference(name string) (string, error) {
	pages, err := fs.Glob(docs.Commands, "commands/*.md")
	if err != nil {
		return "", err
	}
	var names []string
	for _, path := range pages {
		page, err := docs.Commands.ReadFile(path)
		if err != nil {
			return "", err
		}
		module := strings.TrimSuffix(strings.TrimPrefix(path, "commands/"), ".md")
		if module == name {
			return string(page), nil
		}
		names = append(names, module)
		for _, part := range strings.Split(string(page), "\n## ")[1:] {
			if title, _, _ := strings.Cut(part, "\n"); strings.EqualFold(title, name) {
				return "## " + part, nil
			}
		}
	}
	return "", cli.Try(fmt.Errorf("%w: %q", errUnknown, name), "holdfast docs "+strings.Join(names, ", holdfast docs "))
}

var errUnknown = errors.New("no module or command of this name")
