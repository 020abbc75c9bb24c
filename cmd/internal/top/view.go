package top

import (
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
		for n := range room {
			text := ""
			if n < len(m.detail) {
				text = m.detail[n]
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
	return strings.TrimSuffix(b.String(), "\n")
}

func (m *Model) head() string {
	head := m.o.Server
	if m.o.Production {
		head += "  PRODUCTION"
	}
	switch {
	case m.sample.err != nil && !m.sample.at.IsZero():
		return fmt.Sprintf("%s  figures of %s ago: %v", head, cli.Duration(time.Since(m.sample.at).Truncate(time.Second)), m.sample.err)
	case m.sample.err != nil:
		return head + "  " + m.sample.err.Error()
	case m.sample.at.IsZero():
		return head + "  looking…"
	}
	return head + "  " + m.sample.at.Format("15:04:05")
}

func (m *Model) tabs() string {
	names := []string{fmt.Sprintf("1 Queues %d", len(m.sample.queues)), fmt.Sprintf("2 Locks %d", len(m.sample.locks)), fmt.Sprintf("3 Loads %d", len(m.sample.loads))}
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
		line("", map[view]string{queues: "No queues.", locks: "No locks are held or waited for.", loads: "Nothing is being loaded."}[m.view])
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
