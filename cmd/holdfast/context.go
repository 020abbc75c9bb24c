package main

import (
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
)

func newContext() *cobra.Command {
	return parent("context", "Name servers, and choose one",
		`Give servers names, and choose the one that verbs talk to. The names are kept in
$XDG_CONFIG_HOME/holdfast/contexts.json, readable by you alone. A context may be marked as
production: what destroys there wants the name typed.`,
		newContextAdd(), newContextUse(), newContextLs(), newContextRm())
}

func newContextAdd() *cobra.Command {
	var c cli.Context
	cmd := &cobra.Command{
		Use: "add NAME URL", Short: "Give a server a name",
		Example: `  holdfast context add local redis://127.0.0.1:6379
  holdfast context add live rediss://ops@redis.example:6379 --production`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := url.Parse(args[1]); err != nil {
				return cli.Usage("%q is no URL", args[1])
			}
			all, err := cli.LoadContexts()
			if err != nil {
				return err
			}
			c.URL = args[1]
			all.Contexts[args[0]] = c
			if all.Current == "" {
				all.Current = args[0]
			}
			return all.Save()
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.Production, "production", false, "what destroys there wants its name typed")
	f.BoolVar(&c.Cluster, "cluster", false, "the server is a node of a cluster")
	f.StringVar(&c.Sentinel, "sentinel", "", "the URL is a Sentinel's; the primary of this `name` is meant")
	f.StringVar(&c.CACert, "cacert", "", "trust certificates signed by the authority in this `file`")
	f.StringVar(&c.Cert, "cert", "", "the client's certificate, a PEM `file`")
	f.StringVar(&c.Key, "key", "", "its key, a PEM `file`")
	return cmd
}

// contextsWith reads the contexts, of which one must have the name.
func contextsWith(name string) (*cli.Contexts, error) {
	all, err := cli.LoadContexts()
	if err != nil {
		return nil, err
	}
	if _, ok := all.Contexts[name]; !ok {
		return nil, cli.Try(cli.NotMet("", "no context %q", name), "holdfast context ls")
	}
	return all, nil
}

func newContextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Choose the server that verbs talk to", Example: "  holdfast context use live", Args: cobra.ExactArgs(1),
		ValidArgsFunction: contextNames,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := contextsWith(args[0])
			if err != nil {
				return err
			}
			all.Current = args[0]
			return all.Save()
		},
	}
}

// contextRow is a context as it is shown, without passwords.
type contextRow struct {
	Name       string `json:"name"`
	URL        string `json:"url" help:"without the password"`
	Current    bool   `json:"current"`
	Production bool   `json:"production"`
	Cluster    bool   `json:"cluster"`
	Sentinel   string `json:"sentinel,omitempty" help:"name of the primary"`
}

func newContextLs() *cobra.Command {
	var asJSON cli.JSON
	cmd := &cobra.Command{
		Use: "ls", Short: "List the servers that have names", Example: "  holdfast context ls", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := cli.LoadContexts()
			if err != nil {
				return err
			}
			var names []string
			for name := range all.Contexts {
				names = append(names, name)
			}
			slices.Sort(names)
			t := cli.Table{Head: []string{"", "NAME", "URL", ""}}
			for _, name := range names {
				c := all.Contexts[name]
				row := contextRow{name, cli.Context{URL: c.URL}.Shown(), name == all.Current, c.Production, c.Cluster, c.Sentinel}
				if asJSON.On() {
					if err := cli.PrintJSON(cmd.OutOrStdout(), row); err != nil {
						return err
					}
					continue
				}
				t.Row(map[bool]string{true: "*"}[row.Current], row.Name, row.URL, map[bool]string{true: "production"}[row.Production])
			}
			switch {
			case asJSON.On():
				return nil
			case t.Len() == 0:
				say(cmd, "No contexts. Try: holdfast context add NAME URL")
				return nil
			}
			return printTable(&t, cmd.OutOrStdout(), cmd.OutOrStdout())
		},
	}
	asJSON.Register(cmd, contextRow{})
	return cmd
}

func newContextRm() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Forget a server's name", Example: "  holdfast context rm local", Args: cobra.ExactArgs(1),
		ValidArgsFunction: contextNames,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := contextsWith(args[0])
			if err != nil {
				return err
			}
			delete(all.Contexts, args[0])
			if all.Current == args[0] {
				all.Current = ""
			}
			return all.Save()
		},
	}
}

func contextNames(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if all, err := cli.LoadContexts(); err == nil && len(args) == 0 {
		for name := range all.Contexts {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}
