package dashboard_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"holdfast/dashboard"
	"holdfast/holdfasttest"
	"holdfast/queue"
)

func TestEveryPageIsShownAndLetsNothingElseIn(t *testing.T) {
	s := open(t, dashboard.Options{Name: "shop"})
	s.bury("mail", "dial tcp 10.0.0.7:587: refused", "dial tcp 10.0.0.8:587: refused", "no such user")
	s.do("LOCK.ACQUIRE", "nightly", "ann", 60000)
	for path, want := range map[string]string{
		"": "things need you", "queues": "mail", "queue?q=mail": "2 causes among the 3", "queue?q=mail&tab=dead": "ann-0@example.com", "queue?q=mail&tab=ready": "first=1",
		"queue?q=mail&tab=in-work": "No task is in work", "queue?q=mail&tab=delayed": "No task is delayed", "queue?q=mail&tab=workers": "Nobody works on mail",
		"queue?q=mail&tab=dead&where=error~user": "1 task matches", "queue?q=mail&tab=dead&where=nonsense": "no term of a filter",
		"task?q=mail&id=1790000000000-1": "9007199254740993", "task?q=mail&id=1790000000000-1&show=hex": "00000000", "task?q=mail&id=17-1": "It is done, was cancelled",
		"locks": "nightly", "lock?name=nightly": "ann", "lock?name=free": "Nobody holds the lock", "cache": "Nothing is being loaded", "cache?key=user:1": "none", "audit": "Nothing was done",
		"confirm?act=redrive&q=mail&where=" + url.QueryEscape(`cause:"dial tcp #: refused"`): "Run 2 tasks of mail again?",
	} {
		if path == "" { // what doctor finds comes a little later
			s.until(path, want)
		}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.url(path), nil)
		code, body, header := s.send(r)
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q: %s", path, code, want, body)
		}
		policy := header.Get("Content-Security-Policy")
		for _, need := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(policy, need) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, need)
			}
		}
		if m := regexp.MustCompile(`<script>| style=| on[a-z]+="|javascript:|(src|href)="(https?:)?//|href="/|action="/`).FindString(body); m != "" {
			t.Errorf("%s has %s", path, m)
		}
	}
	for _, path := range []string{"nope", "queue", "lock", "assets/nope.js"} {
		if code, _ := s.get(path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, body := s.get("assets/style.css"); code != 200 || !strings.Contains(body, "--ground") {
		t.Error("style.css:", code)
	}
}

func TestWhatIsShownIsNoMarkup(t *testing.T) {
	s := open(t, dashboard.Options{})
	const evil = `<img src=x onerror=alert(1)>"'`
	s.bury(evil, evil)
	s.do("XADD", queue.DeadStream(evil, ""), "*", "payload", evil, "reason", evil, "kind", evil, evil, evil)
	s.do("LOCK.ACQUIRE", evil+"lock", evil, 60000, "META", evil)
	name := url.QueryEscape(evil)
	for _, path := range []string{"", "queues", "queue?q=" + name, "queue?tab=dead&q=" + name, "task?q=" + name + "&id=" + s.id(evil), "locks", "lock?name=" + name + "lock", "cache?key=x" + name, "confirm?act=discard&q=" + name + "&where=" + url.QueryEscape("tries>0")} {
		if code, body := s.get(path); code != 200 || strings.Contains(body, "<img") {
			t.Errorf("%s: %d, %s", path, code, body)
		}
	}
}

func TestThePagesShowAllOfACluster(t *testing.T) {
	c := holdfasttest.Cluster(t, 3, 0)
	rdb := c.Client()
	pages := httptest.NewServer(dashboard.Handler(rdb, dashboard.Options{Logger: slog.New(slog.DiscardHandler)}))
	defer pages.Close()
	for i := range 9 {
		name := fmt.Sprint("part-", i)
		for _, args := range [][]any{{"TASK.PUBLISH", name, "x"}, {"TASK.RESUME", name}, {"LOCK.ACQUIRE", "lock-" + name, "ann", 60000}} {
			if err := rdb.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, want := range map[string]string{"/queues": "part-%d<", "/locks": "lock-part-%d<", "/queue?tab=ready&q=part-0": "part-0", "/": "Locks", "/cache": "Cache"} {
		answer, err := http.Get(pages.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		for i := range 9 {
			text := strings.ReplaceAll(want, "%d", fmt.Sprint(i))
			if answer.StatusCode != 200 || !strings.Contains(string(body), text) {
				t.Errorf("%s: %d, without %s: %s", path, answer.StatusCode, text, body)
			}
		}
	}
}

func TestTasksThatWaitForOthersOfTheirKeyAreShown(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.do("TASK.KEYS", "sync", "LIMIT", 1)
	var id string
	for range 3 {
		id = s.rdb.Do(t.Context(), "TASK.PUBLISH", "sync", "x", "KEY", "tenant-7").Val().(string)
	}
	s.do("XGROUP", "CREATE", "sync", "workers", "0")
	_, body := s.get("queue?q=sync&tab=keys")
	for _, want := range []string{"at most 1 task of a key at a time", "2 tasks are held back, of 1 key", "tenant-7"} {
		if !strings.Contains(body, want) {
			t.Errorf("without %q: %s", want, body)
		}
	}
	if _, body := s.get("task?q=sync&id=" + url.QueryEscape(id)); !strings.Contains(body, "Held back, until others of its key are done") || !strings.Contains(body, "tenant-7") {
		t.Error("the task that waits:", body)
	}
}
