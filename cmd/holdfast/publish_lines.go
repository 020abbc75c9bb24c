package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/cmd/internal/cli"
	"holdfast/queue"
)

const (
	publishStep = 1000             // lines in one command
	publishEnd  = 10 * time.Second // how long lines that are on their way may take after Ctrl-C
)

// lineBatch is some lines of standard input.
type lineBatch struct {
	first int // the number of the first line, from 1
	lines [][]byte
	err   error // why there are no further lines; io.EOF at the end
}

// next is the number of the line after the batch.
func (b *lineBatch) next() int { return b.first + len(b.lines) }

// readLines reads lines, those before the line from left out, until ctx ends. A batch is sent when it
// is full, and when no more can be read without waiting. The channel has room for some batches, so
// that reading goes on while a batch is published.
func readLines(ctx context.Context, r io.Reader, from int) <-chan lineBatch {
	batches := make(chan lineBatch, 4)
	go func() {
		defer close(batches)
		in := bufio.NewReaderSize(r, 1<<16)
		b := lineBatch{first: max(from, 1)}
		for number := 1; b.err == nil; number++ {
			var line []byte
			line, b.err = in.ReadBytes('\n')
			if len(line) > 0 && number >= from {
				b.lines = append(b.lines, bytes.TrimRight(line, "\r\n"))
			}
			if len(b.lines) < publishStep && b.err == nil && (in.Buffered() > 0 || len(b.lines) == 0) {
				continue
			}
			select {
			case batches <- b:
				b = lineBatch{first: b.next(), err: b.err}
			case <-ctx.Done():
				return
			}
		}
	}()
	return batches
}

// linePublisher publishes lines.
type linePublisher struct {
	rdb     redis.UniversalClient
	q       *queue.Queue[[]byte]
	queue   string
	flags   *publishFlags
	options []queue.PublishOption

	published int // by this process
	known     int // of --unique-lines: published before
}

// publishLines publishes standard input.
func publishLines(cmd *cobra.Command, p *linePublisher, asJSON bool) (err error) {
	if p.flags.unique != "" {
		return cli.Try(cli.Usage("--unique is one task's id, and lines are many"), "--unique-lines NAME")
	}
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		say(cmd, "A task a line; Ctrl-D ends.")
	}
	shown := newProgress(cmd, 0)
	next := max(p.flags.fromLine, 1)
	batches := readLines(cmd.Context(), cmd.InOrStdin(), next)
	for err == nil {
		select {
		case <-cmd.Context().Done():
			shown.end()
			say(cmd, "%s published. To go on: the same with --from-line %d", plural(int64(p.published), "line", "lines"), next)
			return cmd.Context().Err()
		case b, open := <-batches:
			if !open { // ctx has ended
				continue
			}
			if sendErr := p.send(cmd.Context(), &b); sendErr != nil {
				shown.end()
				say(cmd, "%s published", plural(int64(p.published), "line", "lines"))
				return p.failed(sendErr, &b)
			}
			next, err = b.next(), b.err
			shown.at(p.published + p.known)
		}
	}
	shown.end()
	if err != io.EOF {
		return err
	}
	if asJSON {
		return cli.PrintJSON(cmd.OutOrStdout(), countRow{p.published})
	}
	if p.known > 0 {
		say(cmd, "%s had been published before", plural(int64(p.known), "line", "lines"))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s published\n", plural(int64(p.published), "task", "tasks"))
	return err
}

// failed says with which line to go on.
func (p *linePublisher) failed(err error, b *lineBatch) error {
	switch {
	case p.flags.uniqueLines != "":
		return cli.Try(err, "the same again: no line is published twice")
	case errors.Is(err, queue.ErrFull):
		return cli.Try(err, fmt.Sprintf("the same with --from-line %d, when there is room", b.first))
	}
	return cli.Try(err, fmt.Sprintf("the same with --from-line %d; the lines up to %d may have been published", b.first, b.next()-1))
}

// send publishes a batch, also where ctx ends meanwhile: then the line to go on with is known. Lines that
// are published for sure are taken off the batch: when the queue is full, those that had room.
func (p *linePublisher) send(ctx context.Context, b *lineBatch) error {
	if len(b.lines) == 0 {
		return nil
	}
	ctx, cancel := outlive(ctx, publishEnd)
	defer cancel()
	if p.flags.uniqueLines != "" {
		return p.sendUnique(ctx, b)
	}
	ids, err := p.q.PublishBatch(ctx, b.lines, p.options...)
	if err == nil || errors.Is(err, queue.ErrFull) { // then the ids are there of those that had room
		room := slices.Index(append(ids, ""), "")
		p.published += room
		b.lines, b.first = b.lines[room:], b.first+room
	}
	return err
}

// outlive is a context that ends within grace after ctx does.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { t.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// sendUnique publishes each line under an id of its own, in the order of the lines. It may be repeated.
func (p *linePublisher) sendUnique(ctx context.Context, b *lineBatch) error {
	replies, _ := p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for n, line := range b.lines {
			pipe.Do(ctx, p.flags.command(p.queue, line, fmt.Sprintf("%s:%d", p.flags.uniqueLines, b.first+n))...)
		}
		return nil
	})
	for n, reply := range replies {
		status, err := reply.(*redis.Cmd).Slice()
		if err != nil {
			return fmt.Errorf("line %d: %w", b.first+n, err)
		}
		if status[0] == "DUPLICATE" {
			p.known++
		} else {
			p.published++
		}
	}
	return nil
}
