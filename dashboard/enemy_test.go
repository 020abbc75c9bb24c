package dashboard_test

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/dashboard"
	"holdfast/holdfasttest"
	"holdfast/queue"
)

var tags = regexp.MustCompile(`<[^>]*>`)

// leadsTo reports whether a page has a link to another page with a value for an argument.
func leadsTo(page, to, name, value string) bool {
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if u, err := url.Parse(html.UnescapeString(m[1])); err == nil && u.Path == to && u.Query().Get(name) == value {
			return true
		}
	}
	return false
}

func TestAnyNameIsShownShortAndActedOnWhole(t *testing.T) {
	s := open(t, dashboard.Options{})
	for _, name := range []string{`<script>alert(1)</script>`, `a"b'c`, "😀 post ✉", strings.Repeat("long ", 2<<10), "-x y'z", "a&b=c#d?e;f", "../../etc/passwd", "a\nb", "%41", " ", "{tag}x"} {
		s.bury(name, "refused", "refused")
		s.do("LOCK.ACQUIRE", name+"lock", name+"owner", 60000)
		whole := map[string]string{}
		for _, path := range []string{"", "queues", "queue?q=" + url.QueryEscape(name), "queue?tab=dead&q=" + url.QueryEscape(name), "locks", "lock?name=" + url.QueryEscape(name+"lock"), "audit"} {
			code, body := s.get(path)
			if whole[path] = body; code != http.StatusOK || strings.Contains(body, "<script>") {
				t.Errorf("%.30q, %.30s: %d: %.3000s", name, path, code, body)
			}
			for _, text := range tags.Split(body, -1) {
				if len(text) > 1000 {
					t.Errorf("%.30q, %.30s shows a text of %d bytes", name, path, len(text))
				}
			}
		}
		if !leadsTo(whole["queues"], "queue", "q", name) || !leadsTo(whole["locks"], "lock", "name", name+"lock") {
			t.Errorf("%.30q: the lists do not lead to it", name)
		}
		_, ask := s.get("confirm?act=redrive&q=" + url.QueryEscape(name) + "&where=error~refused")
		if form := forms(ask); len(form) != 1 {
			t.Errorf("%.30q: no form: %.3000s", name, ask)
		} else if code, body := s.post(form[0]); code != http.StatusSeeOther || s.dead(name) != 0 {
			t.Errorf("%.30q: %d, %.3000s", name, code, body)
		}
		s.do("LOCK.RELEASE", name+"lock", name+"owner")
		s.do("DEL", name)
	}
}

func TestLargePayloadsAreShownInPart(t *testing.T) {
	s := open(t, dashboard.Options{})
	const size = 5 << 20
	text := `{"to":"ann@example.com","body":"` + strings.Repeat("x", size) + `"}`
	for i, payload := range []string{text, strings.Repeat("\x00\xff", size/2), strings.Repeat("text ", size/5)} {
		s.do("TASK.PUBLISH", "mail", payload)
		s.do("XADD", queue.DeadStream("mail", ""), "*", "payload", payload, "reason", strings.Repeat("too large ", 100<<10), "task_id", fmt.Sprintf("1790000000000-%d", i), "history", "no history")
	}
	_ = s.rdb.XGroupCreate(t.Context(), "mail", queue.DefaultGroup, "0").Err()
	for _, path := range []string{"", "queue?q=mail", "queue?q=mail&tab=ready", "queue?q=mail&tab=dead", "queue?q=mail&tab=dead&where=payload~ann", "confirm?act=redrive&q=mail&where=tries%3E0",
		"task?q=mail&id=1790000000000-0", "task?q=mail&id=1790000000000-1", "task?q=mail&id=1790000000000-1&show=text", "task?q=mail&id=1790000000000-2&show=tree"} {
		code, body := s.get(path)
		if code != http.StatusOK || len(body) > 1<<20 {
			t.Errorf("%s: %d, %d bytes", path, code, len(body))
		}
		if strings.HasPrefix(path, "task") && !strings.Contains(body, "5,120 KiB") || strings.Contains(path, "tab=ready") && !strings.Contains(body, "binary, 5,120 KiB") {
			t.Errorf("%s does not say how large the payload is: %.2000s", path, body)
		}
	}
}

// everyPage are the pages that ask the server.
var everyPage = []string{"", "queues", "queue?q=mail", "queue?q=mail&tab=dead", "queue?q=mail&tab=keys", "queue?q=mail&tab=workers", "task?q=mail&id=1790000000000-0", "locks", "lock?name=nightly", "cache", "cache?key=user:1", "confirm?act=redrive&q=mail&where=error~refused", "confirm?act=break&lock=nightly", "confirm?act=cancel&q=mail&ids=1-1", "confirm?act=forget&q=mail&group=workers&consumer=c", "confirm?act=discard&q=mail&ids=1-1"}

func TestAServerThatRefusesIsQuoted(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused")
	s.do("ACL", "SETUSER", "looker", "reset", "on", ">secret", "~*", "+ping")
	rdb := redis.NewClient(&redis.Options{Addr: s.server.Addr, Username: "looker", Password: "secret", DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	pages := s.fresh(rdb)
	for _, path := range everyPage {
		if code, body := s.visit(pages.URL + "/" + path); code != http.StatusForbidden || !strings.Contains(body, "NOPERM") || strings.Contains(body, "not answer") {
			t.Errorf("%s: %d: %s", path, code, body)
		}
	}
	// Rights that the pages' own user loses while a page is open.
	s.do("ACL", "SETUSER", "looker", "+@all")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listenAt(ctx, pages.URL+"/", "locks")
	next("main")
	s.do("ACL", "SETUSER", "looker", "-@all", "+ping")
	if said := next("lost"); !strings.Contains(said, "The server refuses") || !strings.Contains(said, "NOPERM") {
		t.Error(said)
	}
}

func TestAServerThatIsNotReadyIsQuoted(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused")
	s.do("LOCK.ACQUIRE", "nightly", "ann", 600000)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listen(ctx, "lock?name=nightly")
	next("main")
	s.do("CONFIG", "SET", "replica-serve-stale-data", "no")
	s.do("REPLICAOF", "127.0.0.1", "1")
	if said := next("lost"); !strings.Contains(said, "MASTERDOWN") || !strings.Contains(said, "The figures are from") {
		t.Error(said)
	}
	pages := s.fresh(s.rdb)
	for _, path := range everyPage {
		if code, body := s.visit(pages.URL + "/" + path); code != http.StatusServiceUnavailable || !strings.Contains(body, "MASTERDOWN") || !strings.Contains(body, "is not ready") {
			t.Errorf("%s: %d: %s", path, code, body)
		}
	}
	if code, body := s.post(q("act", "pause", "q", "mail")); code != http.StatusServiceUnavailable {
		t.Error("an act:", code, body)
	}
	s.do("REPLICAOF", "NO", "ONE")
	next("beat")
}

func TestAServerThatLoadsItsDataIsQuoted(t *testing.T) {
	s := open(t, dashboard.Options{}, holdfasttest.WithArgs("--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"))
	s.do("DEBUG", "POPULATE", 200, "key", 1024)
	s.do("SAVE")
	s.server.Kill()
	up := make(chan struct{})
	go func() { defer close(up); s.server.Restart() }()
	pages := s.fresh(s.rdb)
	loading := false
	for code := 0; code != http.StatusOK && t.Context().Err() == nil; {
		var body string
		if code, body = s.visit(pages.URL + "/queues"); code == http.StatusServiceUnavailable && strings.Contains(body, "LOADING") {
			loading = true
		}
	}
	<-up
	if !loading {
		t.Error("nobody was told LOADING")
	}
}

func TestAServerThatHangsCostsNoMoreThanOneThatWorks(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused", "refused")
	s.do("LOCK.ACQUIRE", "nightly", "ann", 600000)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	watched := []string{"", "queues", "queue?q=mail", "locks", "lock?name=nightly", "cache", "queue?q=mail&tab=dead", "task?q=mail&id=1790000000000-0", "queue?q=mail&tab=workers", "audit"}
	var viewers []func(string) string
	for _, page := range watched {
		viewers = append(viewers, s.listen(ctx, page))
	}
	for _, next := range viewers {
		next("main")
		next("beat")
	}
	before, memory := runtime.NumGoroutine(), heap()
	if err := syscall.Kill(s.server.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := func() { _ = syscall.Kill(s.server.PID(), syscall.SIGCONT) }
	defer resume()
	for range 4 {
		for i, next := range viewers {
			if said := next("lost"); !strings.Contains(said, "has not answered since") {
				t.Errorf("%s: %s", watched[i], said)
			}
		}
	}
	if now, heap := runtime.NumGoroutine(), heap(); now > before+10 || heap > memory+8 {
		t.Errorf("%d goroutines became %d, %.1f MB became %.1f MB", before, now, memory, heap)
	}
	if code, body := s.post(q("act", "pause", "q", "mail")); code != http.StatusBadGateway || !strings.Contains(body, "does not answer") {
		t.Error("an act:", code, body)
	}
	resume()
	for _, path := range watched {
		s.gone(path, "has not answered since")
	}
	if stats, err := queue.Inspect(s.rdb).Stats(ctx, "mail"); err != nil || stats.Paused {
		t.Error("the act that was refused was done:", err)
	}
}

func TestAnotherSiteCanDoNothing(t *testing.T) {
	s := open(t, dashboard.Options{})
	for _, path := range []string{"act", "stop", "theme"} {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", s.url(path), bytes.NewBufferString("act=pause&q=mail&id=1&theme=dark"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if code, _, header := s.send(r); code != http.StatusForbidden || header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d, %v", path, code, header)
		}
	}
}

func TestAButtonGoesWithTheRight(t *testing.T) {
	var may atomic.Bool
	may.Store(true)
	s := open(t, dashboard.Options{Can: func(_ *http.Request, right dashboard.Right, _ dashboard.Target) bool {
		return right == dashboard.View || may.Load()
	}})
	s.bury("mail", "refused")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listen(ctx, "queue?q=mail")
	if page := next("main"); !strings.Contains(page, "confirm?") || !strings.Contains(page, `action="act"`) {
		t.Fatal("no buttons:", page)
	}
	may.Store(false)
	if page := next("main"); strings.Contains(page, "confirm?") || strings.Contains(page, `action="act"`) {
		t.Error("the buttons are still there:", page)
	}
}
