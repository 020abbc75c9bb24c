package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"

	"holdfast/internal/redisserver"
)

func newModules() *cobra.Command {
	return &cobra.Command{
		Use:   "modules",
		Short: "Print the loadmodule lines for redis.conf",
		Long: `Print the lines that load the three modules, for redis.conf or valkey.conf.
The paths are absolute, because a server resolves relative ones after it has
changed to its data folder. Any of the three may be left out.`,
		Example: "  holdfast modules | sudo tee -a /etc/redis/redis.conf",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths, err := findModules()
			if err != nil {
				return err
			}
			for _, path := range paths {
				if strings.Contains(path, " ") {
					path = strconv.Quote(path)
				}
				fmt.Fprintln(cmd.OutOrStdout(), "loadmodule", path)
			}
			return nil
		},
	}
}

func findModules() ([]string, error) {
	paths, err := redisserver.Modules()
	if err != nil {
		return nil, cli.Try(err, "HOLDFAST_MODULES=DIR holdfast …, where DIR is the folder they are in")
	}
	return paths, nil
}
