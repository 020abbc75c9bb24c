package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

// publishFlags are those of queue publish.
type publishFlags struct {
	delay, expire, at, unique, uniqueFor, uniqueLines string
	limit, fromLine                                   int
	headers                                           []string
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

Many lines show their progress. When that is interrupted or fails it says with which line to go
on. Lines that were on their way at that moment may have been published: with --unique-lines NAME
each line has a unique id of the name and its number, for --unique-for, so the same input can be
sent again from the start and nothing is published twice.`,
		Example: `  holdfast queue publish mail '{"to":"ann@example.com"}'
  holdfast queue publish mail later --delay 10m --header trace=42
  seq 1 100000 | holdfast queue publish numbers
  holdfast queue publish mail --unique-lines import-7 < addresses.txt`,
	}, func(cmd *cobra.Command, s *cli.Server, args []string) error {
		options, err := f.options()
		if err != nil {
			return err
		}
		q := queue.New[[]byte](s.UniversalClient, args[0], queue.Options{Codec: queue.Bytes})
		if len(args) == 1 {
			return publishLines(cmd, q, &f, options, asJSON.On())
		}
		if f.uniqueLines != "" || f.fromLine > 1 {
			return cli.Usage("--unique-lines and --from-line are for standard input")
		}
		if f.unique != "" && len(args) > 2 {
			return cli.Usage("--unique %s is one task's id, and there are %d", f.unique, len(args)-1)
		}
		for _, payload := range args[1:] {
			var row publishedRow
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
	fl.StringVar(&f.unique, "unique", "", "publish once under this `id`")
	fl.StringVar(&f.uniqueFor, "unique-for", "24h", "how long unique ids are remembered")
	fl.StringVar(&f.uniqueLines, "unique-lines", "", "publish each line once under this `name` and its number")
	fl.IntVar(&f.limit, "limit", 0, "refuse when the queue is so long")
	fl.IntVar(&f.fromLine, "from-line", 1, "leave out the lines before this one")
	fl.StringArrayVar(&f.headers, "header", nil, "a header, `name=value`; may be repeated")
	asJSON.Register(cmd, publishedRow{})
	return cmd
}

func (f *publishFlags) options() (all []queue.PublishOption, err error) {
	duration := func(text string, option func(time.Duration) queue.PublishOption) {
		if text != "" && err == nil {
			var d time.Duration
			d, err = cli.ParseDuration(text)
			all = append(all, option(d))
		}
	}
	duration(f.delay, queue.Delay)
	duration(f.expire, queue.Expire)
	if f.unique != "" {
		duration(f.uniqueFor, func(d time.Duration) queue.PublishOption { return queue.Unique(f.unique, d) })
	}
	if f.at != "" && err == nil {
		var t time.Time
		t, err = cli.ParseTime(f.at, time.Now())
		all = append(all, queue.At(t))
	}
	if f.limit > 0 {
		all = append(all, queue.Limit(f.limit))
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, cli.Usage("--header %s: name=value", h)
		}
		all = append(all, queue.Header(name, value))
	}
	return all, err
}

// publishStep is how many lines go in one command.
const publishStep = 1000

// publishLines publishes standard input.
func publishLines(cmd *cobra.Command, q *queue.Queue[[]byte], f *publishFlags, options []queue.PublishOption, asJSON bool) error {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		say(cmd, "A task a line; Ctrl-D ends.")
	}
	if f.unique != "" {
		return cli.Try(cli.Usage("--unique is one task's id, and lines are many"), "--unique-lines NAME")
	}
	uniqueFor, err := cli.ParseDuration(f.uniqueFor)
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(cmd.InOrStdin(), 1<<16)
	p := newProgress(cmd, 0)
	defer p.end()
	number, published := 1, 0
	var batch [][]byte
	send := func() error {
		if len(batch) == 0 {
			return nil
		}
		first := number - len(batch)
		err := sendLines(cmd.Context(), q, f, batch, first, uniqueFor, options)
		if err != nil {
			again := fmt.Sprintf("the same with --from-line %d", first)
			if f.uniqueLines == "" {
				again += "; the lines from there to " + fmt.Sprint(number-1) + " may have been published"
			}
			say(cmd, "%s published", plural(int64(published), "line", "lines"))
			return cli.Try(err, again)
		}
		published += len(batch)
		batch = batch[:0]
		p.at(published)
		return nil
	}
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if number >= f.fromLine {
				batch = append(batch, []byte(strings.TrimRight(string(line), "\r\n")))
			}
			number++
		}
		if err != nil && err != io.EOF {
			return err
		}
		if len(batch) == publishStep || err == io.EOF || lines.Buffered() == 0 && len(batch) > 0 {
			if sendErr := send(); sendErr != nil {
				return sendErr
			}
		}
		if err == io.EOF {
			break
		}
		if cmd.Context().Err() != nil {
			say(cmd, "%s published. To go on: --from-line %d", plural(int64(published), "line", "lines"), number-len(batch))
			return cmd.Context().Err()
		}
	}
	if asJSON {
		return cli.PrintJSON(cmd.OutOrStdout(), countRow{published})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s published\n", plural(int64(published), "task", "tasks"))
	return nil
}

// sendLines publishes a batch: in one step, or, with unique ids, each for itself.
func sendLines(ctx context.Context, q *queue.Queue[[]byte], f *publishFlags, batch [][]byte, first int, uniqueFor time.Duration, options []queue.PublishOption) error {
	if f.uniqueLines == "" {
		_, err := q.PublishBatch(ctx, batch, options...)
		return err
	}
	errs := make(chan error, 16)
	work := make(chan int)
	for range cap(errs) {
		go func() {
			var err error
			for i := range work {
				if err == nil {
					id := fmt.Sprintf("%s:%d", f.uniqueLines, first+i)
					_, err = q.Publish(ctx, batch[i], append(options[:len(options):len(options)], queue.Unique(id, uniqueFor))...)
				}
			}
			errs <- err
		}()
	}
	for i := range batch {
		work <- i
	}
	close(work)
	var err error
	for range cap(errs) {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}
