package top

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// do runs a command.
func do(t *testing.T, rdb *redis.Client, command string) {
	t.Helper()
	var words []any
	for word := range strings.FieldsSeq(command) {
		words = append(words, word)
	}
	if err := rdb.Do(t.Context(), words...).Err(); err != nil && err != redis.Nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// press sends keys to a screen.
func press(m *Model, keys ...string) {
	for _, key := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)}
		switch key {
		case "enter":
			msg = tea.KeyMsg{Type: tea.KeyEnter}
		case "esc":
			msg = tea.KeyMsg{Type: tea.KeyEsc}
		}
		if _, cmd := m.Update(msg); cmd != nil {
			m.Update(cmd())
		}
	}
}

func TestEveryScreenFitsTheTerminal(t *testing.T) {
	rdb := holdfasttest.Server(t).Client()
	long := strings.Repeat("long:", 50) + "名"
	for n := range 100 {
		do(t, rdb, fmt.Sprintf("TASK.PUBLISH %s%d x", long, n))
		do(t, rdb, fmt.Sprintf("LOCK.ACQUIRE %s%d:lock %s 600000", long, n, long))
		do(t, rdb, fmt.Sprintf("CACHE.FETCH %s%d:value 60000 60000", long, n))
	}
	do(t, rdb, "TASK.CONSUME workers "+long+" "+long+"7")
	for _, size := range []tea.WindowSizeMsg{{Width: 80, Height: 24}, {Width: 200, Height: 60}, {Width: 30, Height: 6}, {Width: 1, Height: 1}} {
		m := New(t.Context(), rdb, Options{Server: "redis://" + long, Production: true, Every: time.Second})
		m.Update(size)
		check := func(what string) {
			t.Helper()
			lines := strings.Split(strings.NewReplacer(bold, "", dim, "", invert, "", reset, "").Replace(m.View()), "\n")
			if len(lines) > size.Height {
				t.Errorf("%dx%d, %s: %d lines", size.Width, size.Height, what, len(lines))
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) > size.Width {
					t.Errorf("%dx%d, %s: a line is too long: %q", size.Width, size.Height, what, line)
				}
			}
		}
		check("before the first sample")
		m.Update(m.look())
		for _, keys := range [][]string{{"1"}, {"j", "j", "enter"}, {"p"}, {"n"}, {"2"}, {"enter"}, {"b"}, {"n"}, {"3"}, {"enter"}, {"?"}, {"esc"}, {"/", "x"}} {
			press(m, keys...)
			check(fmt.Sprint(keys))
		}
	}
}

func TestARowStaysChosenWhenTheTableIsSortedAnew(t *testing.T) {
	rdb := holdfasttest.Server(t).Client()
	for _, command := range []string{"TASK.MPUBLISH first x x x", "TASK.MPUBLISH second x x", "TASK.PUBLISH third x"} {
		do(t, rdb, command)
	}
	m := New(t.Context(), rdb, Options{Every: time.Second})
	m.Update(m.look())
	press(m, "j")
	if name := m.rows()[m.chosen].name; name != "second" {
		t.Fatalf("%s is chosen", name)
	}
	do(t, rdb, "TASK.MPUBLISH second x x x")
	do(t, rdb, "TASK.MPUBLISH third x x x x x x")
	m.Update(m.look())
	if name := m.rows()[m.chosen].name; name != "second" || m.chosen != 1 {
		t.Errorf("%s in row %d is chosen", name, m.chosen)
	}
	press(m, "s", "s", "s")
	if name := m.rows()[m.chosen].name; name != "second" {
		t.Errorf("%s is chosen", name)
	}
}

func TestWhatFailsLeavesTheOtherTablesAlone(t *testing.T) {
	s := holdfasttest.Server(t)
	do(t, s.Client(), "TASK.PUBLISH mail x")
	do(t, s.Client(), "LOCK.ACQUIRE nightly me 60000")
	do(t, s.Client(), "ACL SETUSER looker on >secret ~* +@all -lock.list")
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "looker", Password: "secret"})
	defer rdb.Close()
	m := New(t.Context(), rdb, Options{Every: time.Second})
	m.Update(m.look())
	if view := m.View(); !strings.Contains(view, "mail") || !strings.Contains(view, "NOPERM") || !strings.Contains(view, "1 Queues 1") {
		t.Error(view)
	}
	press(m, "2")
	if view := m.View(); strings.Contains(view, "No locks") {
		t.Error("it says that there are none:", view)
	}
	// A server that is gone leaves the figures, with their age.
	s.Kill()
	m.Update(m.look())
	press(m, "1")
	if view := m.View(); !strings.Contains(view, "mail") || !strings.Contains(view, "ago") {
		t.Error(view)
	}
}

func TestLocksAmongManyKeysAreFoundInSteps(t *testing.T) {
	rdb := holdfasttest.Server(t).Client()
	do(t, rdb, "DEBUG POPULATE 20000")
	for _, name := range []string{"nightly", "crawler"} {
		do(t, rdb, "LOCK.ACQUIRE "+name+" me 600000")
	}
	w := walk{every: 20 * time.Millisecond}
	s := w.look(context.Background(), rdb)
	for rounds := 1; !s.whole; rounds++ {
		if s = w.look(context.Background(), rdb); rounds > 1000 {
			t.Fatal("a round has no end")
		}
	}
	if len(s.locks) != 2 {
		t.Fatalf("%+v", s.locks)
	}
	do(t, rdb, "LOCK.RELEASE nightly me")
	if s = w.look(context.Background(), rdb); len(s.locks) != 1 || s.locks[0].Name != "crawler" {
		t.Errorf("%+v", s.locks)
	}
}

func TestAQueueThatBecomesShorterTellsWhenItIsEmpty(t *testing.T) {
	rdb := holdfasttest.Server(t).Client()
	do(t, rdb, "TASK.MPUBLISH mail"+strings.Repeat(" x", 100))
	m := New(t.Context(), rdb, Options{Every: time.Second})
	m.Update(m.look())
	do(t, rdb, "TASK.CONSUME workers me mail 50")
	m.Update(m.look())
	if eta := m.rows()[0].cells[8]; eta == "-" || eta == "never" {
		t.Errorf("ETA %s", eta)
	}
	m.Update(m.look())
	do(t, rdb, "TASK.MPUBLISH mail"+strings.Repeat(" x", 500))
	m.Update(m.look())
	if eta := m.rows()[0].cells[8]; eta != "never" {
		t.Errorf("ETA %s", eta)
	}
}
