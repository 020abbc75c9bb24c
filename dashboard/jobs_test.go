package dashboard_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/dashboard"
	"holdfast/queue"
)

// buryMany makes n dead letters of one cause.
func (s *shop) buryMany(stream string, n int) {
	s.Helper()
	s.bury(stream)
	for from := 0; from < n; from += 1000 {
		pipe := s.rdb.Pipeline()
		for i := from; i < min(from+1000, n); i++ {
			pipe.Do(s.Context(), "XADD", queue.DeadStream(stream, ""), "*", "payload", "x", "timestamp", 1790000000, "retry_count", 2, "task_id", fmt.Sprintf("1790000000001-%d", i),
				"reason", fmt.Sprint("refused ", i), "origin_stream", stream, "origin_group", "workers", "origin_consumer", "vm:1", "origin_id", "1790000000000-1", "deliveries", 1, "failed_at", 1790000001)
		}
		if _, err := pipe.Exec(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
}

// postFor posts a form and returns where the answer leads.
func (s *shop) postFor(path string, form url.Values) (code int, to string) {
	s.Helper()
	r, _ := http.NewRequestWithContext(s.Context(), "POST", s.url(path), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	code, _, header := s.send(r)
	return code, header.Get("Location")
}

// gate is an Options.Can that stops a bulk act before its second step, until it is opened.
type gate struct {
	asked  atomic.Int64 // how often about Operate or Destroy, once it is shut
	shut   atomic.Bool
	opened chan struct{}
	denies atomic.Bool
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

func (g *gate) can(_ *http.Request, right dashboard.Right, _ dashboard.Target) bool {
	if right == dashboard.View || !g.shut.Load() {
		return true
	}
	if g.asked.Add(1) == 3 { // the first is the form's, the second the first step's
		<-g.opened
	}
	return !g.denies.Load()
}

// beginMany begins to bring 3,000 dead letters back, which stops after the first step.
func beginMany(t *testing.T, g *gate) (s *shop, job string) {
	t.Helper()
	s = open(t, dashboard.Options{Can: g.can})
	s.buryMany("mail", 3000)
	_, ask := s.get("confirm?act=redrive&q=mail&where=error~refused")
	g.shut.Store(true)
	code, to := s.postFor("act", forms(ask)[0])
	if code != http.StatusSeeOther || !strings.HasPrefix(to, "job?") {
		t.Fatal(code, to)
	}
	return s, to
}

// until asks for a page until it has a text, gone until it has not.
func (s *shop) until(path, want string) string {
	s.Helper()
	return s.asks(path, want, true)
}

func (s *shop) gone(path, text string) string {
	s.Helper()
	return s.asks(path, text, false)
}

func (s *shop) asks(path, text string, has bool) string {
	s.Helper()
	ctx, stop := context.WithTimeout(s.Context(), time.Minute)
	defer stop()
	for {
		_, body := s.get(path)
		if strings.Contains(body, text) == has {
			return body
		}
		select {
		case <-ctx.Done():
			s.Fatalf("%s has %q: never %v: %s", path, text, has, body)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestABulkActGoesOnBehindThePages(t *testing.T) {
	g := newGate()
	s, job := beginMany(t, g)
	for path, want := range map[string]string{job: "16 %", "queue?q=mail": `href="job?id=1"`, "": `href="job?id=1"`, "audit": "under way"} {
		s.until(path, want)
	}
	close(g.opened)
	s.gone("audit", "under way")
	page := s.until(job, "3,000 tasks moved back to mail, of 3,000 looked at")
	if strings.Contains(page, `action="stop"`) || s.dead("mail") != 0 {
		t.Errorf("%d are dead: %s", s.dead("mail"), page)
	}
	if _, body := s.get("audit"); !strings.Contains(body, "3,000 tasks moved back to mail") || strings.Contains(body, "under way") {
		t.Error(body)
	}
	if _, body := s.get(""); strings.Contains(body, "job?id") {
		t.Error("the first page still shows it:", body)
	}
}

func TestABulkActIsStopped(t *testing.T) {
	g := newGate()
	s, job := beginMany(t, g)
	page := s.until(job, `action="stop"`)
	id := regexp.MustCompile(`name="id" value="(\d+)"`).FindStringSubmatch(page)[1]
	if code, _ := s.postFor("stop", q("id", id)); code != http.StatusSeeOther {
		t.Fatal(code)
	}
	close(g.opened)
	s.until(job, "Stopped: 500 tasks moved back to mail")
	if n := s.dead("mail"); n != 2500 {
		t.Error(n, "are dead")
	}
	// The same again goes on where the first ended.
	_, ask := s.get("confirm?act=redrive&q=mail&where=error~refused")
	s.postFor("act", forms(ask)[0])
	if s.until("audit", "2,500 tasks moved back to mail"); s.dead("mail") != 0 {
		t.Error(s.dead("mail"), "are dead")
	}
}

func TestARightThatIsTakenAwayEndsABulkAct(t *testing.T) {
	g := newGate()
	s, job := beginMany(t, g)
	s.until(job, "16 %")
	g.denies.Store(true)
	if code, _ := s.postFor("stop", q("id", "1")); code != http.StatusForbidden {
		t.Error("stop without the right:", code)
	}
	close(g.opened)
	s.until(job, "do not have the right any more")
	if n := s.dead("mail"); n != 2500 {
		t.Error(n, "are dead")
	}
}

func TestTooManyBulkActsAreRefused(t *testing.T) {
	opened := make(chan struct{})
	var asked sync.Map
	s := open(t, dashboard.Options{Can: func(_ *http.Request, right dashboard.Right, over dashboard.Target) bool {
		if right == dashboard.Operate {
			if n, _ := asked.LoadOrStore(over, new(atomic.Int64)); n.(*atomic.Int64).Add(1) == 3 { // the link's, the form's, the first step's
				<-opened
			}
		}
		return true
	}})
	for i := range 5 {
		name := fmt.Sprint("mail-", i)
		s.buryMany(name, 10)
		_, ask := s.get("confirm?act=redrive&q=" + name + "&where=error~refused")
		code, to := s.postFor("act", forms(ask)[0])
		if i < 4 && (code != http.StatusSeeOther || !strings.HasPrefix(to, "job?")) {
			t.Fatal(i, code, to)
		}
		if i == 4 && (code != http.StatusServiceUnavailable || s.dead(name) != 10) {
			t.Error("the fifth:", code, to)
		}
	}
	close(opened)
	for i := range 4 {
		s.until(fmt.Sprint("job?id=", i+1), "10 tasks moved back")
	}
}

func TestTheTasksThatFailMeanwhileAreNotMoved(t *testing.T) {
	g := newGate()
	s, job := beginMany(t, g)
	s.until(job, "16 %")
	s.buryMany("mail", 700)
	close(g.opened)
	s.until(job, "3,000 tasks moved back to mail, of 3,000 looked at")
	if n := s.dead("mail"); n != 700 {
		t.Error(n, "are dead")
	}
}

func TestMoreThanWereLookedAtAreActedOnByASecondButton(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.buryMany("mail", 12_500)
	s.bury("mail", "other")
	_, ask := s.get("confirm?act=redrive&q=mail&where=" + url.QueryEscape(`cause:"refused #"`))
	both := forms(ask)
	if len(both) != 2 || !strings.Contains(ask, "Run 10,000 tasks of mail again?") || !strings.Contains(ask, "10,000 of 12,501 dead letters were looked at") {
		t.Fatal(ask)
	}
	if lines := regexp.MustCompile(`data-copy="([^"]*)"`).FindAllStringSubmatch(ask, -1); !strings.HasSuffix(html.UnescapeString(lines[1][1]), " --window=12501") {
		t.Error("the command for all is", lines)
	}
	s.buryMany("mail", 10) // after the look
	code, to := s.postFor("act", both[1])
	if code != http.StatusSeeOther {
		t.Fatal(code, to)
	}
	s.until("audit", "12,500 tasks moved back to mail, of 12,501 looked at")
	if n := s.dead("mail"); n != 11 {
		t.Error(n, "are dead")
	}
}
