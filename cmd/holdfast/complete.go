package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// completeWithin bounds what the shell waits for after Tab.
const completeWithin = 200 * time.Millisecond

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
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		s, err := flags.Connect(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.Close()
		return names(ctx, s, begun), cobra.ShellCompDirectiveNoFileComp
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
	reply, _ := s.Do(ctx, "LOCK.LIST", "MATCH", escapeGlob(begun)+"*", "COUNT", completeMost).Slice()
	if len(reply) == 2 {
		list, _ := reply[1].([]any)
		for _, n := range list {
			names = append(names, n.(string))
		}
	}
	return names
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}
