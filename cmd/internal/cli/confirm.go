package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Consent is asked for before something is destroyed.
type Consent struct {
	yes, dry bool
}

// Register adds --yes and --dry-run.
func (c *Consent) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&c.dry, "dry-run", false, "say what would be done, and do nothing")
}

// DryRun tells whether the user only wants to see what would be done.
func (c *Consent) DryRun() bool { return c.dry }

// Act is what is about to be done.
type Act struct {
	What   string   // "move 1,204 tasks of {mail}:dead back"
	Sample []string // some of what it touches
	Name   string   // what has to be typed in production
}

// Ask shows what would be done and tells whether to do it. Without a terminal it refuses, unless
// --yes says so; in a production context the name is typed.
func (c *Consent) Ask(cmd *cobra.Command, s *Server, a Act) (bool, error) {
	w := cmd.ErrOrStderr()
	if c.dry {
		fmt.Fprintf(w, "Would %s on %s.\n", a.What, s.Name)
		show(w, a.Sample)
		return false, nil
	}
	if c.yes {
		return true, nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false, Try(Usage("would %s on %s, and nobody is here to ask", a.What, s.Name), "--yes, or --dry-run to see what it touches")
	}
	fmt.Fprintf(w, "About to %s on %s.\n", a.What, s.Name)
	show(w, a.Sample)
	want := "yes"
	if s.Production && a.Name != "" {
		want = a.Name
		fmt.Fprintf(w, "This is production. Type %s to go on: ", want)
	} else {
		fmt.Fprint(w, "Type yes to go on: ")
	}
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, err
	}
	if strings.TrimSpace(answer) != want {
		return false, NotMet("", "nothing was done")
	}
	return true, nil
}

func show(w io.Writer, sample []string) {
	width := Width(w)
	for _, line := range sample {
		fmt.Fprintln(w, Cut("  "+Printable(line), width))
	}
}
