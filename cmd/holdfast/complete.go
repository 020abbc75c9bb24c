package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/lock"
	"holdfast/queue"
)

// completeWithin bounds how long the names are waited for after Tab, so that with the start of this
// process it is less than 200 ms.
const completeWithin = 150 * time.Millisecond

// registerCompletions completes names that a verb's Use says it takes: QUEUE, LOCK; and contexts.
func registerCompletions(cmd *cobra.Command, flags *cli.Flags) {
	_ = cmd.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, err := cli.LoadContexts()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for name := range all.Contexts {
			names = append(names, name)
		}
		slices.Sort(names)
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	words := strings.Fields(cmd.Use)
	if len(words) < 2 {
		return
	}
	names := map[string]func(context.Context, *cli.Server, string) []string{"QUEUE": queueNames, "LOCK": lockNames, "NAME": lockNames}[strings.Trim(words[1], "[]….")]
	if names == nil {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			if strings.Contains(cmd.Use, "FILE") || strings.Contains(cmd.Use, "COMMAND") {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return namesInTime(flags, names, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesInTime are the names that begin so, none where the server does not answer in time.
func namesInTime(flags *cli.Flags, names func(context.Context, *cli.Server, string) []string, begun string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	answer := make(chan []string, 1)
	go func() {
		s, err := flags.ConnectSilently(ctx)
		if err != nil {
			answer <- nil
			return
		}
		defer s.Close()
		found := names(ctx, s, begun)
		slices.Sort(found)
		found = slices.Compact(found)
		answer <- found[:min(len(found), completeMost)]
	}()
	select {
	case found := <-answer:
		return found
	case <-ctx.Done(): // whatever the client is still busy with
		return nil
	}
}

// completeMost is how many names the shell is given.
const completeMost = 100

func queueNames(ctx context.Context, s *cli.Server, begun string) (names []string) {
	i := queue.Inspect(s.UniversalClient)
	_ = each(ctx, func(cursor string) (string, error) {
		page, err := i.Queues(ctx, escapeGlob(begun)+"*", cursor)
		names = append(names, page.Streams...)
		if len(names) > completeMost {
			return "", err
		}
		return page.Cursor, err
	})
	return names
}

func lockNames(ctx context.Context, s *cli.Server, begun string) (names []string) {
	i := lock.Inspect(s.UniversalClient)
	_ = each(ctx, func(cursor string) (string, error) {
		page, err := i.List(ctx, lock.ListOptions{Match: escapeGlob(begun) + "*", Cursor: cursor})
		for _, l := range page.Locks {
			names = append(names, l.Name)
		}
		if len(names) > completeMost {
			return "", err
		}
		return page.Cursor, err
	})
	return names
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}
