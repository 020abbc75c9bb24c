package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// Watch is the flag --watch: show again and again.
type Watch struct{ every string }

// Register adds the flag.
func (w *Watch) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.every, "watch", "", "show again every two seconds, or every so long: --watch=5s")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
}

// Run calls show, once or until ctx ends. On a terminal each showing takes the place of the one before.
func (w *Watch) Run(ctx context.Context, out io.Writer, show func(io.Writer) error) error {
	if w.every == "" {
		return show(out)
	}
	every, err := ParseDuration(w.every)
	if err != nil {
		return err
	}
	if every < 100*time.Millisecond {
		return Usage("--watch=%s: a tenth of a second at least", w.every)
	}
	terminal := Width(out) > 0
	for {
		var page bytes.Buffer
		if err := show(&page); err != nil {
			return err
		}
		if terminal {
			fmt.Fprint(out, "\x1b[H\x1b[2J")
		}
		if _, err := out.Write(page.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(every):
		}
	}
}
