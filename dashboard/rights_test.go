package dashboard_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/dashboard"
	"holdfast/queue"
)

func TestAViewerCanDoNothingByPageOrByHand(t *testing.T) {
	var may atomic.Pointer[string]
	set := func(rights string) { may.Store(&rights) }
	set("view")
	s := open(t, dashboard.Options{Can: func(_ *http.Request, right dashboard.Right, _ dashboard.Target) bool {
		return strings.Contains(*may.Load(), string(right))
	}})
	all := s.everyAct()
	before := s.state()
	for _, path := range []string{"", "queues", "queue?q=mail", "queue?q=mail&tab=dead", "queue?q=busy&tab=workers", "task?q=mail&id=1790000000000-1", "locks", "lock?name=nightly", "cache?key=user:1"} {
		if code, body := s.get(path); code != 200 || strings.Contains(body, `action="act"`) || strings.Contains(body, "confirm?") {
			t.Errorf("%s: %d: it offers an act", path, code)
		}
	}
	try := func(who string, headers ...string) {
		t.Helper()
		for name, form := range all {
			form.Set("act", name)
			if code, _ := s.post(form, headers...); code != http.StatusForbidden {
				t.Errorf("%s, %s: %d", who, name, code)
			}
			if code, body := s.get("confirm?" + form.Encode()); len(headers) == 0 && code != http.StatusForbidden && code != http.StatusNotFound {
				t.Errorf("%s, confirm %s: %d, %s", who, name, code, body)
			}
		}
		if now := s.state(); now != before {
			t.Fatalf("%s changed\n%s\nto\n%s", who, before, now)
		}
	}
	try("a viewer")
	set("nothing")
	if code, _ := s.get("queue?q=mail"); code != http.StatusForbidden {
		t.Error("without view a queue is shown:", code)
	}
	try("nobody")
	set("view operate destroy")
	try("another site", "Sec-Fetch-Site", "cross-site")
	try("another origin", "Origin", "https://evil.example")
	set("view operate")
	for _, name := range []string{"discard", "cancel", "forget", "break", "delete"} {
		if code, _ := s.post(all[name]); code != http.StatusForbidden {
			t.Errorf("an operator could %s: %d", name, code)
		}
	}
	set("view operate destroy")
	if code, _ := s.get("act?" + all["pause"].Encode()); code == http.StatusSeeOther || s.state() != before {
		t.Error("an act by GET")
	}
	for name, form := range all {
		if code, body := s.post(form); code != http.StatusSeeOther {
			t.Errorf("%s, by one who may: %d, %s", name, code, body)
		}
	}
	if s.state() == before {
		t.Error("the acts change nothing")
	}
}

func TestReadOnlyRefusesEveryAct(t *testing.T) {
	s := open(t, dashboard.Options{ReadOnly: true})
	all := s.everyAct()
	before := s.state()
	for name, form := range all {
		form.Set("act", name)
		if code, _ := s.post(form); code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
	}
	if s.state() != before {
		t.Error("something changed")
	}
}

func TestInProductionTheNameIsTyped(t *testing.T) {
	s := open(t, dashboard.Options{Production: true})
	s.bury("mail", "a")
	form := q("act", "discard", "q", "mail", "ids", s.id("mail"))
	if _, body := s.get("confirm?" + form.Encode()); !strings.Contains(body, `name="typed"`) {
		t.Error("it does not ask:", body)
	}
	if code, _ := s.post(form); code != http.StatusBadRequest || s.dead("mail") != 1 {
		t.Error("without the name:", code)
	}
	form.Set("typed", "mail")
	if code, _ := s.post(form); code != http.StatusSeeOther || s.dead("mail") != 0 {
		t.Error("with the name:", code)
	}
}

func TestWhatIsHiddenIsNowhere(t *testing.T) {
	s := open(t, dashboard.Options{Redact: func(_ string, r *queue.Record) { r.Payload, r.Error = []byte(`"hidden"`), "" }})
	s.bury("mail", "swordfish refused")
	_, home := s.get("")
	link := html.UnescapeString(regexp.MustCompile(`href="(confirm[^"]*)"`).FindStringSubmatch(home)[1])
	for _, path := range []string{"", "queue?q=mail", "queue?q=mail&tab=dead", "queue?q=mail&tab=ready", "task?q=mail&id=1790000000000-0", "task?q=mail&id=1790000000000-0&show=hex", link, "queue?q=mail&tab=dead&where=payload~ann"} {
		if code, body := s.get(path); code != 200 || strings.Contains(body, "example.com") || strings.Contains(body, "first=1") || strings.Contains(body, "swordfish") {
			t.Errorf("%s: %d: %s", path, code, body)
		}
	}
	if _, body := s.get(link); !strings.Contains(body, "Run 1 task of mail again?") {
		t.Error("the group is not found:", body)
	}
	if code, _ := s.post(q("act", "repair", "q", "mail", "ids", s.id("mail"), "payload", "x")); code != http.StatusForbidden {
		t.Error("repair:", code)
	}
}

func TestARightThatIsTakenAwayEndsThePushes(t *testing.T) {
	var may atomic.Bool
	may.Store(true)
	s := open(t, dashboard.Options{Can: func(*http.Request, dashboard.Right, dashboard.Target) bool { return may.Load() }})
	s.bury("mail", "refused")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listen(ctx, "queue?q=mail")
	next("main")
	may.Store(false)
	if said := next("end"); !strings.Contains(said, "view") {
		t.Error(said)
	}
}

func TestAForgedWayBackLeadsToNoOtherSite(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused")
	for back, want := range map[string]string{
		"queue?q=mail": "queue?did=", "./": "./?did=", "": "./?did=",
		"https://evil.example/queue": "./?did=", "//evil.example/queue": "./?did=", `\\evil.example`: "./?did=", "javascript:alert(1)": "./?did=", "/queue": "./?did=", "../queue": "./?did=",
	} {
		form := q("act", "pause", "q", "mail", "back", back)
		r, _ := http.NewRequestWithContext(t.Context(), "POST", s.url("act"), strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if code, _, header := s.send(r); code != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), want) {
			t.Errorf("%q: %d, to %q", back, code, header.Get("Location"))
		}
		if _, body := s.get("confirm?act=discard&q=mail&ids=" + s.id("mail") + "&back=" + url.QueryEscape(back)); strings.Contains(body, "evil") || strings.Contains(body, "alert") {
			t.Errorf("%q: %s", back, body)
		}
	}
}

func TestARightOverOneThingIsNoRightOverAnother(t *testing.T) {
	s := open(t, dashboard.Options{Can: func(_ *http.Request, right dashboard.Right, over dashboard.Target) bool {
		return over.Name == "" && right == dashboard.View || over == dashboard.Target{Kind: dashboard.Queue, Name: "mail"} || over == dashboard.Target{Kind: dashboard.Lock, Name: "mine"}
	}})
	s.everyAct()
	s.do("LOCK.ACQUIRE", "mine", "ann", 60000)
	before := s.state()
	for _, form := range []url.Values{
		q("act", "break", "q", "mail", "lock", "nightly"), q("act", "break", "q", "mail", "lock", "mail"), q("act", "delete", "q", "mail", "lock", "mine", "key", "user:1"),
		q("act", "pause", "q", "paused", "lock", "mine"), q("act", "pause", "lock", "mine", "key", "mail", "q", "busy"),
	} {
		if code, body := s.post(form); code != http.StatusForbidden {
			t.Errorf("%s: %d, %s", form.Encode(), code, body)
		}
		if code, _ := s.get("confirm?" + form.Encode()); code != http.StatusForbidden {
			t.Errorf("confirm %s: %d", form.Encode(), code)
		}
	}
	if now := s.state(); now != before {
		t.Errorf("changed\n%s\nto\n%s", before, now)
	}
	for path, hidden := range map[string]string{"": "busy", "queues": "busy", "locks": "nightly"} {
		if code, body := s.get(path); code != http.StatusOK || strings.Contains(body, hidden) {
			t.Errorf("%s: %d, shows %s", path, code, hidden)
		}
	}
	for _, path := range []string{"queue?q=busy", "task?q=busy&id=1-1", "lock?name=nightly", "lock?name=mail", "cache?key=user:1"} {
		if code, _ := s.get(path); code != http.StatusForbidden {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, body := s.post(q("act", "break", "lock", "mine")); code != http.StatusSeeOther {
		t.Error("the lock that was granted:", code, body)
	}
	if code, body := s.post(q("act", "pause", "q", "mail")); code != http.StatusSeeOther {
		t.Error("the queue that was granted:", code, body)
	}
}
