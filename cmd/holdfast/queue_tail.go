package main

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// entryRow is an entry as queue tail prints it.
type entryRow struct {
	Entry   string            `json:"entry"`
	Time    time.Time         `json:"time" help:"when the entry was added"`
	Payload string            `json:"payload"`
	Fields  map[string]string `json:"fields" help:"the others"`
}

func newQueueTail() *cobra.Command {
	var asJSON cli.JSON
	var follow, dead bool
	var from string
	cmd := verb(&cobra.Command{
		Use: "tail QUEUE", Short: "Show the newest tasks, and with -f those that come", Args: cobra.ExactArgs(1),
		Long: `Show the newest tasks of a queue, and with -f each that is added from then on, until Ctrl-C.
Nothing is taken from the workers: tasks that are done before they are read are not seen.`,
		Example: `  holdfast queue tail mail
  holdfast queue tail mail -f
  holdfast queue tail mail -f --dead --from @10m --json`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		stream := args[0]
		if dead {
			stream = queue.DeadStream(stream, "")
		}
		offset, err := cli.ParseOffset(from, time.Now())
		if err != nil {
			return err
		}
		show := func(m redis.XMessage) error {
			row := entryRow{Entry: m.ID, Fields: map[string]string{}}
			var ms int64
			_, _ = fmt.Sscanf(m.ID, "%d", &ms)
			row.Time = time.UnixMilli(ms)
			for name, value := range m.Values {
				if name == "payload" {
					row.Payload = fmt.Sprint(value)
				} else {
					row.Fields[name] = fmt.Sprint(value)
				}
			}
			if asJSON.On() {
				return cli.PrintJSON(cmd.OutOrStdout(), row)
			}
			line := fmt.Sprintf("%s  %s  %s", row.Time.Format("15:04:05.000"), row.Entry, shortPayload([]byte(row.Payload), 0))
			if reason := row.Fields["reason"]; reason != "" {
				line += "  " + cli.Printable(reason)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), cli.Cut(line, cli.Width(cmd.OutOrStdout())))
			return err
		}
		last, err := tailFrom(cmd, s, stream, offset, show)
		if err != nil || !follow {
			return err
		}
		for {
			got, err := s.XRead(cmd.Context(), &redis.XReadArgs{Streams: []string{stream, last}, Count: 100, Block: 5 * time.Second}).Result()
			if err == redis.Nil {
				continue
			}
			if err != nil {
				return err
			}
			for _, m := range got[0].Messages {
				if err := show(m); err != nil {
					return err
				}
				last = m.ID
			}
		}
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes, until Ctrl-C")
	cmd.Flags().BoolVar(&dead, "dead", false, "dead letters")
	cmd.Flags().StringVar(&from, "from", "-10", "where to begin: start, end, an id, -100, @1h")
	asJSON.Register(cmd, entryRow{})
	return cmd
}

// tailPage is how many entries are read at once.
const tailPage = 500

// tailFrom shows what is there from an offset on, and answers the last id.
func tailFrom(cmd *cobra.Command, s *cli.Server, stream string, offset cli.Offset, show func(redis.XMessage) error) (last string, err error) {
	newest, err := s.XRevRangeN(cmd.Context(), stream, "+", "-", int64(max(offset.Last, 1))).Result()
	if err != nil {
		return "", err
	}
	last = "0-0"
	if len(newest) > 0 {
		last = newest[0].ID
	}
	if offset.Last > 0 {
		for i := len(newest) - 1; i >= 0; i-- {
			if err := show(newest[i]); err != nil {
				return "", err
			}
		}
		return last, nil
	}
	if offset.ID == "+" {
		return last, nil
	}
	for from := offset.ID; ; {
		page, err := s.XRangeN(cmd.Context(), stream, from, last, tailPage).Result()
		if err != nil {
			return "", err
		}
		for _, m := range page {
			if err := show(m); err != nil {
				return "", err
			}
		}
		if len(page) < tailPage {
			return last, nil
		}
		from = "(" + page[len(page)-1].ID
	}
}
