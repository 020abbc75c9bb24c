package dashboard_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"holdfast/dashboard"
	"holdfast/queue"
)

func TestTheTasksLookedAtAreTheTasksMoved(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused 1", "other", "refused 2")
	_, body := s.get("confirm?act=redrive&q=mail&where=" + url.QueryEscape(`cause:"refused #"`))
	form := forms(body)
	if len(form) != 1 || !strings.Contains(body, "Run 2 tasks of mail again?") || !strings.Contains(body, "3 dead letters were looked at") {
		t.Fatal(body)
	}
	s.bury("mail", "refused 3") // after the look
	if code, body := s.post(form[0]); code != http.StatusSeeOther {
		t.Fatal(code, body)
	}
	if n := s.dead("mail"); n != 2 {
		t.Error(n, "are dead")
	}
	if _, body := s.get("audit"); !strings.Contains(body, "2 tasks moved back to mail, of 3 looked at") {
		t.Error("not in the audit:", body)
	}
}

func TestTwoOperatorsMoveEachTaskOnce(t *testing.T) {
	s := open(t, dashboard.Options{})
	var errs []string
	for i := range 300 {
		errs = append(errs, fmt.Sprint("refused ", i))
	}
	s.bury("mail", errs...)
	length := s.rdb.XLen(t.Context(), "mail").Val()
	_, body := s.get("confirm?act=redrive&q=mail&where=" + url.QueryEscape(`cause:"refused #"`))
	form := forms(body)[0]
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if code, body := s.post(form); code != http.StatusSeeOther {
				t.Error(code, body)
			}
		})
	}
	both.Wait()
	if n := s.rdb.XLen(t.Context(), "mail").Val() - length; n != 300 || s.dead("mail") != 0 {
		t.Errorf("%d tasks came back, %d are dead", n, s.dead("mail"))
	}
}

func TestTheCommandShownDoesTheSame(t *testing.T) {
	run := tool(t)
	for _, prefix := range []string{"", "-x y'z ", "--group=\"$HOME\" \n"} {
		byPage, byShell := open(t, dashboard.Options{}), open(t, dashboard.Options{})
		byPage.prefix, byShell.prefix = prefix, prefix
		formsOfPage, formsOfShell := byPage.everyAct(), byShell.everyAct()
		for name, form := range formsOfPage {
			form.Set("act", name)
			if code, body := byPage.post(form); code != http.StatusSeeOther {
				t.Fatal(name, code, body)
			}
			twin := formsOfShell[name]
			twin.Set("act", name)
			line := dashboard.CommandOf(name, twin)
			if name != "pause" && name != "resume" {
				line = sure(line)
			}
			if out, err := run(line, byShell.server.Addr); err != nil {
				t.Errorf("%s: %v: %s", line, err, out)
			}
			if a, b := byPage.state(), byShell.state(); a != b {
				t.Fatalf("after %s, by the page:\n%sby %q:\n%s", name, a, line, b)
			}
		}
	}
}

// Bytes that are no text are changed by a form and by a terminal: the act would be on another name.
func TestANameThatAFormCannotCarryHasNoButton(t *testing.T) {
	s := open(t, dashboard.Options{})
	for _, name := range []string{"a\xffb", "a\rb"} {
		s.do("LOCK.ACQUIRE", name, "ann", 60000)
		if code, body := s.get("lock?name=" + url.QueryEscape(name)); code != http.StatusOK || !strings.Contains(body, "ann") || strings.Contains(body, "confirm?") || strings.Contains(body, "data-copy") {
			t.Errorf("%q: %d, %s", name, code, body)
		}
	}
}

func TestTheCommandForAGroupMovesTheSameGroup(t *testing.T) {
	run := tool(t)
	for _, example := range []string{`refused by 10.0.0.1 at "x"`, "it's `done`; $HOME", "\\ 7 <a@b.c>", "–, 100 % #"} {
		s := open(t, dashboard.Options{})
		s.bury("mail", example, "other", example)
		_, page := s.get("queue?q=mail")
		for _, link := range regexp.MustCompile(`href="(confirm[^"]*act=redrive[^"]*where=cause[^"]*)"`).FindAllStringSubmatch(page, -1) {
			_, body := s.get(html.UnescapeString(link[1]))
			if !strings.Contains(body, "Run 2 tasks of mail again?") {
				continue
			}
			line := command(t, body)
			if out, err := run(sure(line), s.server.Addr); err != nil || s.dead("mail") != 1 {
				t.Errorf("%s: %v, %s; %d are dead", line, err, out, s.dead("mail"))
			}
		}
		if s.dead("mail") != 1 {
			t.Errorf("%q: no button for its cause: %s", example, page)
		}
	}
}

func TestOfSeveralGroupsOneIsChosen(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused")
	s.do("XGROUP", "CREATE", "mail", "others", "0")
	s.do("XADD", queue.DeadStream("mail", "others"), "*", "payload", "theirs", "reason", "refused", "task_id", "1790000000000-7", "origin_group", "others")
	_, both := s.get("queue?q=mail&tab=dead&where=error~refused")
	if !strings.Contains(both, "theirs") || strings.Contains(both, "confirm?") {
		t.Error("of both groups:", both)
	}
	_, one := s.get("queue?q=mail&tab=dead&group=others&where=error~refused")
	if strings.Contains(one, "ann-0") || !strings.Contains(one, "confirm?") {
		t.Fatal("of one group:", one)
	}
	_, ask := s.get("confirm?act=redrive&q=mail&group=others&where=error~refused")
	if code, body := s.post(forms(ask)[0]); code != http.StatusSeeOther || s.dead("mail") != 1 || s.rdb.XLen(t.Context(), queue.DeadStream("mail", "others")).Val() != 0 {
		t.Error(code, body)
	}
}
