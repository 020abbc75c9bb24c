// Package top is the screen of holdfast top.
package top

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/cmd/internal/cli"
	"holdfast/lock"
	"holdfast/queue"
)

// Options say what is looked at, and how often.
type Options struct {
	Server     string // its name, for the head of the screen
	Production bool
	Every      time.Duration
}

// Model is the screen's state.
type Model struct {
	ctx context.Context
	rdb redis.UniversalClient
	o   Options

	walk          walk // of look, which runs once at a time
	sample        sample
	view          view
	sort          [3]int
	chosen        int
	moved         bool // the user chose a row: it stays chosen
	filter        string
	typing        bool     // a filter is being typed
	detail        []string // lines of the row that is open; nil for the table
	ask           *act     // an act that waits for an answer
	note          string
	width, height int
}

// act is what is done when the user says yes.
type act struct {
	question string
	do       func() (string, error)
}

// New returns a screen that has seen nothing yet.
func New(ctx context.Context, rdb redis.UniversalClient, o Options) *Model {
	return &Model{ctx: ctx, rdb: rdb, o: o, walk: walk{every: o.Every}, width: 80, height: 24, sort: [3]int{queues: 1, locks: 3, loads: 3}}
}

type (
	tick time.Time
	done string // an act's outcome
	open []string
)

// Init takes the first sample.
func (m *Model) Init() tea.Cmd { return m.look }

func (m *Model) look() tea.Msg { return m.walk.look(m.ctx, m.rdb) }

// Update handles keys and samples.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case sample:
		m.follow(func() { m.sample = msg.after(m.sample) })
		return m, tea.Tick(m.o.Every, func(t time.Time) tea.Msg { return tick(t) })
	case tick:
		return m, m.look
	case done:
		m.note = string(msg)
		return m, nil
	case open:
		m.detail = msg
	case tea.KeyMsg:
		return m.key(msg)
	}
	return m, nil
}

func (m *Model) key(k tea.KeyMsg) (tea.Model, tea.Cmd) {
	if k.Type == tea.KeyCtrlC {
		return m, tea.Quit
	}
	if m.ask != nil {
		ask := m.ask
		m.ask = nil
		if k.String() != "y" {
			m.note = "nothing was done"
			return m, nil
		}
		m.note = "working…"
		return m, func() tea.Msg {
			text, err := ask.do()
			if err != nil {
				text = err.Error()
			}
			return done(text)
		}
	}
	if m.typing {
		switch k.Type {
		case tea.KeyEnter:
			m.typing = false
		case tea.KeyEsc:
			m.typing, m.filter = false, ""
		case tea.KeyBackspace:
			if m.filter != "" {
				_, n := utf8.DecodeLastRuneInString(m.filter)
				m.filter = m.filter[:len(m.filter)-n]
			}
		case tea.KeyRunes, tea.KeySpace:
			m.filter += string(k.Runes)
		}
		m.chosen = 0
		return m, nil
	}
	m.note = ""
	rows := m.rows()
	switch k.String() {
	case "q":
		return m, tea.Quit
	case "esc":
		if m.detail == nil {
			m.filter = ""
		}
		m.detail = nil
	case "tab":
		m.turn((m.view + 1) % 3)
	case "1", "2", "3":
		m.turn(view(k.String()[0] - '1'))
	case "up", "k":
		m.chosen, m.moved = max(m.chosen-1, 0), true
	case "down", "j":
		m.chosen, m.moved = max(min(m.chosen+1, len(rows)-1), 0), true
	case "s":
		m.follow(func() { m.sort[m.view] = (m.sort[m.view] + 1) % len(columns[m.view]) })
	case "S":
		m.follow(func() { m.sort[m.view] = (m.sort[m.view] + len(columns[m.view]) - 1) % len(columns[m.view]) })
	case "/":
		m.typing, m.filter, m.detail = true, "", nil
	case "?":
		m.detail = strings.Split(help, "\n")
	case "enter":
		if m.chosen < len(rows) {
			name, v := rows[m.chosen].name, m.view
			return m, func() tea.Msg { return m.details(v, name) }
		}
	case "p", "r", "d", "b", "x":
		if m.chosen < len(rows) {
			m.ask = m.act(k.String(), rows[m.chosen].name)
		}
	}
	return m, nil
}

const help = `Tab, 1 2 3   queues, locks, loads
↑ ↓ j k      choose a row
Enter        details of the row
s S          sort by the next column, or the previous
/            show only what has a text; Esc shows all
p r          pause or resume the queue
d            redrive the queue's dead letters
b            break the lock
x            remove the value
q            leave`

func (m *Model) turn(v view) { m.view, m.chosen, m.moved, m.detail = v, 0, false, nil }

func (m *Model) rows() []row { return m.sample.rows(m.view, m.sort[m.view], m.filter) }

// follow changes what is shown, and keeps the row chosen that was chosen before, wherever it is then: an act
// must not meet another row because the table was sorted anew.
func (m *Model) follow(change func()) {
	name := ""
	if rows := m.rows(); m.moved && m.chosen < len(rows) {
		name = rows[m.chosen].name
	}
	change()
	for n, r := range m.rows() {
		if name != "" && r.name == name {
			m.chosen = n
		}
	}
}

// act is what a key does with a row, or nil.
func (m *Model) act(key, name string) *act {
	q, shown := queue.Inspect(m.rdb), cli.Printable(name)
	switch {
	case m.view == queues && key == "p":
		return &act{"Pause " + shown + "? Nothing is handed out until it is resumed.", func() (string, error) { return "paused", q.Pause(m.ctx, name) }}
	case m.view == queues && key == "r":
		return &act{"Resume " + shown + "?", func() (string, error) { return "resumed", q.Resume(m.ctx, name) }}
	case m.view == queues && key == "d":
		return &act{fmt.Sprintf("Redrive up to %s dead letters of %s?", cli.Number(queue.DefaultWindow), shown), func() (string, error) {
			out, err := q.Redrive(m.ctx, name, queue.Selection{})
			return fmt.Sprintf("%d redriven", out.Done), err
		}}
	case m.view == locks && key == "b":
		return &act{"Break " + shown + "? Its holder may still be at work.", func() (string, error) {
			n, err := lock.Inspect(m.rdb).Break(m.ctx, name, "")
			return fmt.Sprintf("%d holders removed", n), err
		}}
	case m.view == loads && key == "x":
		return &act{"Remove the value of " + shown + ", and end its load?", func() (string, error) {
			n, err := cache.Inspect(m.rdb).Delete(m.ctx, name)
			return fmt.Sprintf("%d removed", n), err
		}}
	}
	m.note = "that key does nothing here: ? shows the keys"
	return nil
}

// details asks the server about one row.
func (m *Model) details(v view, name string) tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, 5*time.Second)
	defer cancel()
	lines := []string{cli.Printable(name), ""}
	var err error
	switch v {
	case queues:
		lines, err = queueDetails(ctx, m.rdb, name, lines)
	case locks:
		var l lock.Info
		l, err = lock.Inspect(m.rdb).Info(ctx, name)
		for _, h := range l.Holders {
			lines = append(lines, fmt.Sprintf("held by  %s  for %s, %s left  %s", cli.Printable(h.Owner), cli.Duration(h.Held), left(h.Left), cli.Printable(h.Meta)))
		}
		for n, w := range l.Waiters {
			lines = append(lines, fmt.Sprintf("%7d  %s  waits for %s", n+1, cli.Printable(w.Owner), cli.Duration(w.Waited)))
		}
	case loads:
		var c cache.Info
		c, err = cache.Inspect(m.rdb).Info(ctx, name)
		lines = append(lines, loadDetails(&c)...)
	}
	if err != nil {
		lines = append(lines, err.Error())
	}
	return open(lines)
}

func loadDetails(c *cache.Info) (lines []string) {
	switch {
	case c.Present && c.TTL > 0:
		lines = append(lines, fmt.Sprintf("value   %s bytes, %s left", cli.Number(c.Bytes), cli.Duration(c.TTL)))
	case c.Present:
		lines = append(lines, fmt.Sprintf("value   %s bytes, for ever", cli.Number(c.Bytes)))
	case c.Absent:
		lines = append(lines, "value   known to be absent")
	default:
		lines = append(lines, "value   none")
	}
	if c.Loading {
		lines = append(lines, fmt.Sprintf("load    under way for %s; its lease ends in %s, %d wait", cli.Duration(c.Age), cli.Duration(c.Lease), c.Waiters))
	}
	if c.Failed != "" {
		lines = append(lines, fmt.Sprintf("failed  %s; nobody loads for %s", cli.Printable(c.Failed), cli.Duration(c.Backoff)))
	}
	return lines
}

func queueDetails(ctx context.Context, rdb redis.UniversalClient, name string, lines []string) ([]string, error) {
	i := queue.Inspect(rdb)
	s, err := i.Stats(ctx, name)
	if err != nil {
		return lines, err
	}
	lines = append(lines, fmt.Sprintf("%s tasks, %s delayed, %s dead; the oldest is %s old", cli.Number(s.Length), cli.Number(s.Delayed), cli.Number(s.Dead), cli.Duration(s.OldestAge)))
	if s.Paused {
		lines = append(lines, "paused: nothing is handed out")
	}
	if len(s.Groups) == 0 {
		lines = append(lines, "nobody works on it yet")
	}
	for _, g := range s.Groups {
		lines = append(lines, fmt.Sprintf("group %s: %s ready, %s in work, %s dead, %d consumers, %d waiting", cli.Printable(g.Name), cli.Number(g.Ready), cli.Number(g.Pending), cli.Number(g.Dead), g.Consumers, g.Waiting),
			fmt.Sprintf("  wait p50 %s p99 %s, run p50 %s p99 %s", cli.Duration(g.Wait.P50), cli.Duration(g.Wait.P99), cli.Duration(g.Run.P50), cli.Duration(g.Run.P99)))
	}
	work, err := i.List(ctx, name, queue.ListOptions{State: queue.InWork, Limit: 5})
	if err != nil {
		return lines, err
	}
	for _, r := range work.Tasks {
		lines = append(lines, fmt.Sprintf("in work  %s  %s  %s left  %s", r.ID, cli.Printable(r.Consumer), cli.Duration(r.LeaseLeft), cli.Printable(string(r.Payload))))
	}
	report, err := i.Failures(ctx, name, queue.SearchOptions{Window: 1000})
	for n, g := range report.Groups {
		if n == 8 {
			break
		}
		lines = append(lines, fmt.Sprintf("%7s dead  %s", cli.Number(int64(g.Count)), cli.Printable(g.Error)))
	}
	return lines, err
}
