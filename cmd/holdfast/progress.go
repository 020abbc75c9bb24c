package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
)

// progress shows on a terminal how far long work is. Nothing is shown for work of less than a second.
type progress struct {
	w      io.Writer
	total  int // 0 where it is not known
	began  time.Time
	shown  time.Time
	visual bool
}

func newProgress(cmd *cobra.Command, total int) *progress {
	w := cmd.ErrOrStderr()
	return &progress{w: w, total: total, began: time.Now(), shown: time.Now(), visual: cli.Width(w) > 0}
}

// at says that so many are done.
func (p *progress) at(done int) {
	now := time.Now()
	every := time.Second / 4
	if !p.visual {
		every = 10 * time.Second
	}
	if now.Sub(p.began) < time.Second || now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	rate := float64(done) / now.Sub(p.began).Seconds()
	line := fmt.Sprintf("%s done, %s/s", cli.Number(int64(done)), cli.Number(int64(rate)))
	if p.total > 0 {
		line = fmt.Sprintf("%s of %s done, %s/s", cli.Number(int64(done)), cli.Number(int64(p.total)), cli.Number(int64(rate)))
		if rate > 0 {
			line += ", " + cli.Duration(time.Duration(float64(p.total-done)/rate*float64(time.Second))) + " left"
		}
	}
	if p.visual {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) end() {
	if p.visual {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
