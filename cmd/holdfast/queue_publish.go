package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// publishFlags are those of queue publish.
type publishFlags struct {
	delay, expire, at, unique, uniqueFor, uniqueLines string
	key                                               string
	limit, fromLine, weight                           int
	headers                                           []string

	delayed, expires, remembered time.Duration // delay, expire and uniqueFor
	due                          time.Time     // at
	pairs                        [][2]string   // headers
}

// publishedRow is a published task, as JSON.
type publishedRow struct {
	ID        string `json:"id"`
	Duplicate bool   `json:"duplicate" help:"it was published before under this unique id"`
}

func newQueuePublish() *cobra.Command {
	var f publishFlags
	var asJSON cli.JSON
	cmd := verb(&cobra.Command{
		Use: "publish QUEUE [PAYLOAD…]", Short: "Publish tasks, from arguments or from standard input", Args: cobra.MinimumNArgs(1),
		Long: `Publish tasks: each argument is one, or, without arguments, each line of standard input.

Many lines show their progress. After Ctrl-C the lines that are on their way are published, and
the line with which to go on is said. When the server or this process fails, the last lines may
have been published or not: with --unique-lines NAME each line has a unique id of the name and
its number, for --unique-for, so that the same input can be sent again from the start, and no line
is published twice.`,
		Example: `  holdfast queue publish mail '{"to":"ann@example.com"}'
  holdfast queue publish mail later --delay 10m --header trace=42
  seq 1 100000 | holdfast queue publish numbers
  holdfast queue publish mail --unique-lines import-7 < addresses.txt`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		if err := f.parse(); err != nil {
			return err
		}
		options := f.options()
		q := queue.New[[]byte](s.UniversalClient, args[0], queue.Options{Codec: queue.Bytes})
		if len(args) == 1 {
			return publishLines(cmd, &linePublisher{rdb: s.UniversalClient, q: q, queue: args[0], flags: &f, options: options}, asJSON.On())
		}
		if f.uniqueLines != "" || f.fromLine > 1 {
			return cli.Usage("--unique-lines and --from-line are for standard input")
		}
		if f.unique != "" && len(args) > 2 {
			return cli.Usage("--unique %s is one task's id, and there are %d", f.unique, len(args)-1)
		}
		for _, payload := range args[1:] {
			var row publishedRow
			var err error
			if f.unique != "" {
				options = append(options, queue.Duplicate(&row.Duplicate))
			}
			if row.ID, err = q.Publish(cmd.Context(), []byte(payload), options...); err != nil {
				return err
			}
			if asJSON.On() {
				err = cli.PrintJSON(cmd.OutOrStdout(), row)
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), row.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	fl := cmd.Flags()
	fl.StringVar(&f.delay, "delay", "", "hand out in so long: 10m")
	fl.StringVar(&f.at, "at", "", "hand out at this time: 2026-11-29T18:00")
	fl.StringVar(&f.expire, "expire", "", "of no use when nobody was given it within so long")
	fl.StringVar(&f.key, "task-key", "", "whose task it is: the queue's rule (see queue keys) counts by it")
	fl.IntVar(&f.weight, "weight", 1, "turns of the --task-key, for one of others")
	fl.StringVar(&f.unique, "unique", "", "publish once under this `id`")
	fl.StringVar(&f.uniqueFor, "unique-for", "24h", "how long unique ids are remembered")
	fl.StringVar(&f.uniqueLines, "unique-lines", "", "publish each line once under this `name` and its number")
	fl.IntVar(&f.limit, "limit", 0, "refuse when the queue is so long")
	fl.IntVar(&f.fromLine, "from-line", 1, "leave out the lines before this one")
	fl.StringArrayVar(&f.headers, "header", nil, "a header, `name=value`; may be repeated")
	asJSON.Register(cmd, publishedRow{})
	return cmd
}

// parse reads the flags that are durations, times and pairs.
func (f *publishFlags) parse() (err error) {
	for text, to := range map[*string]*time.Duration{&f.delay: &f.delayed, &f.expire: &f.expires, &f.uniqueFor: &f.remembered} {
		if *text == "" {
			continue
		}
		if *to, err = cli.ParseDuration(*text); err != nil {
			return err
		}
	}
	if f.at != "" {
		if f.due, err = cli.ParseTime(f.at, time.Now()); err != nil {
			return err
		}
	}
	if f.key == "" && f.weight != 1 {
		return cli.Usage("--weight wants --task-key")
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return cli.Usage("--header %s: name=value", h)
		}
		f.pairs = append(f.pairs, [2]string{name, value})
	}
	return nil
}

// options are those of every task.
func (f *publishFlags) options() (all []queue.PublishOption) {
	if f.delay != "" {
		all = append(all, queue.Delay(f.delayed))
	}
	if f.at != "" {
		all = append(all, queue.At(f.due))
	}
	if f.expire != "" {
		all = append(all, queue.Expire(f.expires))
	}
	if f.unique != "" {
		all = append(all, queue.Unique(f.unique, f.remembered))
	}
	if f.limit > 0 {
		all = append(all, queue.Limit(f.limit))
	}
	if f.key != "" {
		all = append(all, queue.Key(f.key), queue.Weight(f.weight))
	}
	for _, pair := range f.pairs {
		all = append(all, queue.Header(pair[0], pair[1]))
	}
	return all
}

// command publishes one task under a unique id, and tells whether it is a new one.
func (f *publishFlags) command(stream string, payload []byte, unique string) []any {
	args := []any{"TASK.PUBLISH", stream, payload}
	if f.delay != "" {
		args = append(args, "DELAY", f.delayed.Milliseconds())
	}
	if f.at != "" {
		args = append(args, "AT", max(f.due.UnixMilli(), 1))
	}
	args = append(args, "UNIQUE", unique, f.remembered.Milliseconds())
	if f.expire != "" {
		args = append(args, "EXPIRE", f.expires.Milliseconds())
	}
	if f.limit > 0 {
		args = append(args, "LIMIT", f.limit)
	}
	if f.key != "" {
		args = append(args, "KEY", f.key, "WEIGHT", f.weight)
	}
	if len(f.pairs) > 0 {
		args = append(args, "HEADERS", len(f.pairs))
		for _, pair := range f.pairs {
			args = append(args, pair[0], pair[1])
		}
	}
	return append(args, "WITHSTATUS")
}
