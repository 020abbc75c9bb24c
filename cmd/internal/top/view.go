package top

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/cmd/internal/cli"
)

// Styles of a terminal; none with NO_COLOR.
var bold, dim, invert, reset = styles()

func styles() (bold, dim, invert, reset string) {
	if os.Getenv("NO_COLOR") != "" {
		return "", "", "\x1b[7m", "\x1b[0m"
	}
	return "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[0m"
}

// View draws the screen: two lines of head, a table or details, one line of foot.
func (m *Model) View() string {
	var b strings.Builder
	line := func(style, text string) {
		text = cli.Cut(text, m.width)
		b.WriteString(style + text + strings.Repeat(" ", max(m.width-utf8.RuneCountInString(text), 0)) + reset + "\n")
	}
	line("", m.head())
	line("", m.tabs())
	room := m.height - 4
	if m.detail != nil {
		lines := wrap(m.detail, m.width)
		for n := range room {
			text := ""
			if n < len(lines) {
				text = lines[n]
			}
			line("", text)
		}
	} else {
		m.table(line, room)
	}
	foot, style := "Tab turns  Enter details  / filter  s sort  ? keys  q leaves", dim
	switch {
	case m.ask != nil:
		foot, style = m.ask.question+" y/n", bold
		if m.o.Production {
			foot = "PRODUCTION. " + foot
		}
	case m.typing:
		foot, style = "/"+m.filter+"▏", bold
	case m.note != "":
		foot, style = m.note, bold
	}
	line(style, foot)
	lines := strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
	return strings.TrimSuffix(strings.Join(lines[:min(len(lines), max(m.height, 1))], ""), "\n")
}

// wrap breaks lines that are too long, so that nothing of a name or an error is hidden.
func wrap(lines []string, width int) (all []string) {
	for _, text := range lines {
		rest := []rune(text)
		for width > 0 && len(rest) > width {
			all, rest = append(all, string(rest[:width])), rest[width:]
		}
		all = append(all, string(rest))
	}
	return all
}

func (m *Model) head() string {
	head := m.o.Server
	if m.o.Production {
		head += "  PRODUCTION"
	}
	err := cmp.Or(m.sample.errs[m.view], m.sample.errs[queues], m.sample.errs[locks], m.sample.errs[loads])
	switch {
	case err != nil && m.sample.at.IsZero():
		return head + "  " + err.Error()
	case err != nil:
		return fmt.Sprintf("%s  figures of %s ago: %v", head, cli.Duration(time.Since(m.sample.at).Truncate(time.Second)), err)
	case m.sample.at.IsZero():
		return head + "  looking…"
	}
	return head + "  " + m.sample.at.Format("15:04:05")
}

func (m *Model) tabs() string {
	more := ""
	if !m.sample.whole && !m.sample.at.IsZero() {
		more = "…"
	}
	names := []string{fmt.Sprintf("1 Queues %d", len(m.sample.queues)), fmt.Sprintf("2 Locks %d%s", len(m.sample.locks), more), fmt.Sprintf("3 Loads %d", len(m.sample.loads))}
	names[m.view] = "[" + names[m.view] + "]"
	tabs := strings.Join(names, "   ")
	if m.filter != "" {
		tabs += "   /" + m.filter
	}
	return tabs
}

// table draws the rows that fit, the chosen one among them.
func (m *Model) table(line func(style, text string), room int) {
	heads, rows := columns[m.view], m.rows()
	m.chosen = min(m.chosen, max(len(rows)-1, 0))
	widths := make([]int, len(heads))
	for i, h := range heads {
		widths[i] = utf8.RuneCountInString(h) + 1 // room for the arrow of the sorted column
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r.cells[i]))
		}
	}
	// The name gives way where the terminal is narrow.
	rest := 0
	for _, w := range widths[1:] {
		rest += w + 1
	}
	widths[0] = max(min(widths[0], m.width-rest), 8)
	head := make([]string, len(heads))
	for i, h := range heads {
		if i == m.sort[m.view] {
			h += "▾"
		}
		head[i] = h
	}
	line(dim, join(head, widths))
	if len(rows) == 0 {
		line("", m.nothing())
		room--
	}
	first := max(m.chosen-room+1, 0)
	for n := range room {
		k := first + n
		switch {
		case k >= len(rows):
			line("", "")
		case k == m.chosen:
			line(invert, join(rows[k].cells, widths))
		default:
			line("", join(rows[k].cells, widths))
		}
	}
}

// nothing says why a table has no rows.
func (m *Model) nothing() string {
	switch {
	case m.sample.at.IsZero() || m.sample.errs[m.view] != nil:
		return ""
	case m.filter != "":
		return "Nothing here has this text. Esc shows all."
	case m.view == locks && !m.sample.whole:
		return "No locks found yet: there are many keys to look through."
	}
	return map[view]string{queues: "No queues.", locks: "No locks are held or waited for.", loads: "Nothing is being loaded."}[m.view]
}

// join sets cells side by side, the name to the left and the others to the right.
func join(cells []string, widths []int) string {
	var b strings.Builder
	for i, c := range cells {
		c = cli.Cut(c, widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
		if i == 0 {
			b.WriteString(c + pad)
		} else {
			b.WriteString(" " + pad + c)
		}
	}
	return b.String()
}
