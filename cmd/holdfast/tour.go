package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"holdfast/docs"
	"holdfast/internal/transcript"
)

// stepTimeout is far above what any step of the guide takes.
const stepTimeout = 30 * time.Second

// playTour plays the guide on the server at addr and shows each command with
// its reply. A reply that is not the guide's is an error.
func playTour(ctx context.Context, out io.Writer, addr string) error {
	p := transcript.NewPlayer(addr)
	defer p.Close()
	bold, dim, plain := styles(out)
	for _, section := range transcript.Parse(docs.Guide) {
		fmt.Fprintf(out, "\n%s%s%s\n", bold, section.Title, plain)
		for _, step := range section.Steps {
			stepCtx, cancel := context.WithTimeout(ctx, stepTimeout)
			command, reply, err := p.Play(stepCtx, step)
			cancel()
			fmt.Fprintf(out, "  %s%s>%s %s\n", dim, step.Terminal, plain, command)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, "  "+strings.ReplaceAll(reply, "\n", "\n  "))
			if !p.Check(step, reply) {
				return fmt.Errorf("the guide says that %s answers:\n%s", command, step.Reply)
			}
		}
	}
	return nil
}

// styles are the escape sequences of a terminal, empty where out is none or the
// user wants none.
func styles(out io.Writer) (bold, dim, plain string) {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return "", "", ""
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return "", "", ""
	}
	return "\x1b[1m", "\x1b[2m", "\x1b[0m"
}
