package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/dashboard"
	"holdfast/holdfasttest"
	"holdfast/lock"
	"holdfast/queue"
)

// shop is a server with work in all states, and the pages over it.
type shop struct {
	*testing.T
	server *holdfasttest.Instance
	rdb    *redis.Client
	pages  *httptest.Server
	client *http.Client
}

func open(t *testing.T, o dashboard.Options) *shop {
	t.Helper()
	s := &shop{T: t, server: holdfasttest.Server(t)}
	s.rdb = s.server.Client()
	o.Logger = slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle("/ops/dash/", http.StripPrefix("/ops/dash", dashboard.Handler(s.rdb, o)))
	s.pages = httptest.NewServer(mux)
	t.Cleanup(s.pages.Close)
	s.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s
}

// bury makes dead letters of a queue, with these errors.
func (s *shop) bury(stream string, errs ...string) {
	s.Helper()
	s.do("TASK.PUBLISH", stream, `{"first":1}`)
	_ = s.rdb.XGroupCreate(s.Context(), stream, queue.DefaultGroup, "0").Err() // or it is there
	s.do("TASK.RESUME", stream)
	for i, e := range errs {
		s.do("XADD", queue.DeadStream(stream, ""), "*", "payload", fmt.Sprintf(`{"to":"ann-%d@example.com","order":9007199254740993}`, i), "timestamp", time.Now().Unix(), "retry_count", 2,
			"task_id", fmt.Sprintf("1790000000000-%d", i), "reason", e, "origin_stream", stream, "origin_group", "workers", "origin_consumer", "vm:1", "origin_id", "1790000000000-1", "deliveries", 1, "failed_at", time.Now().Unix())
	}
}

func (s *shop) do(args ...any) {
	s.Helper()
	if err := s.rdb.Do(s.Context(), args...).Err(); err != nil && err != redis.Nil {
		s.Fatal(args, err)
	}
}

func (s *shop) url(path string) string { return s.pages.URL + "/ops/dash/" + path }

func (s *shop) send(r *http.Request) (int, string, http.Header) {
	s.Helper()
	answer, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

func (s *shop) get(path string) (int, string) {
	s.Helper()
	r, _ := http.NewRequestWithContext(s.Context(), "GET", s.url(path), nil)
	code, body, _ := s.send(r)
	return code, body
}

func (s *shop) post(form url.Values, headers ...string) (int, string) {
	s.Helper()
	r, _ := http.NewRequestWithContext(s.Context(), "POST", s.url("act"), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	code, body, _ := s.send(r)
	return code, body
}

// forms are the forms of a page, as a browser would send them, and the commands beside them.
func forms(page string) (all []url.Values) {
	for _, f := range regexp.MustCompile(`(?s)<form[^>]*action="act".*?</form>`).FindAllString(page, -1) {
		v := url.Values{}
		for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(f, -1) {
			v.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
		}
		all = append(all, v)
	}
	return all
}

func command(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`data-copy="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no command is shown:", page)
	}
	return html.UnescapeString(m[1])
}

func (s *shop) dead(stream string) int64 {
	return s.rdb.XLen(s.Context(), queue.DeadStream(stream, "")).Val()
}

func (s *shop) id(stream string) string {
	return s.rdb.XRangeN(s.Context(), queue.DeadStream(stream, ""), "-", "+", 1).Val()[0].ID
}

func q(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestEveryPageIsShownAndLetsNothingElseIn(t *testing.T) {
	s := open(t, dashboard.Options{Name: "shop"})
	s.bury("mail", "dial tcp 10.0.0.7:587: refused", "dial tcp 10.0.0.8:587: refused", "no such user")
	s.do("LOCK.ACQUIRE", "nightly", "ann", 60000)
	for path, want := range map[string]string{
		"": "Three things need you", "queues": "mail", "queue?q=mail": "2 causes among the 3", "queue?q=mail&tab=dead": "ann-0@example.com", "queue?q=mail&tab=ready": "first=1",
		"queue?q=mail&tab=in-work": "No task is in work", "queue?q=mail&tab=delayed": "No task is delayed", "queue?q=mail&tab=workers": "Nobody works on mail",
		"queue?q=mail&tab=dead&where=error~user": "1 task matches", "queue?q=mail&tab=dead&where=nonsense": "no term of a filter",
		"task?q=mail&id=1790000000000-1": "9007199254740993", "task?q=mail&id=1790000000000-1&show=hex": "00000000", "task?q=mail&id=17-1": "It is done, was cancelled",
		"locks": "nightly", "lock?name=nightly": "ann", "lock?name=free": "Nobody holds it", "cache": "Nothing is being loaded", "cache?key=user:1": "none", "audit": "Nothing was done",
		"confirm?act=redrive&q=mail&error=" + url.QueryEscape("dial tcp #: refused"): "Run 2 tasks of mail again?",
	} {
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

// everyAct is a form for each act. The words are what the command line would be given.
func (s *shop) everyAct() map[string]url.Values {
	s.bury("mail", "a", "b", "c", "d", "e")
	s.do("TASK.PUBLISH", "busy", "x")
	s.do("XGROUP", "CREATE", "busy", "workers", "0")
	s.do("XREADGROUP", "GROUP", "workers", "gone-1", "COUNT", 1, "STREAMS", "busy", ">")
	ready := s.rdb.Do(s.Context(), "TASK.PUBLISH", "mail", "ready").Val().(string)
	s.do("TASK.PUBLISH", "paused", "x")
	s.do("TASK.PAUSE", "paused")
	s.do("LOCK.ACQUIRE", "nightly", "ann", 60000)
	s.do("CACHE.SET", "user:1", "v", 60000)
	entries := s.rdb.XRange(s.Context(), queue.DeadStream("mail", ""), "-", "+").Val()
	return map[string]url.Values{
		"redrive": q("q", "mail", "ids", entries[0].ID), "discard": q("q", "mail", "ids", entries[1].ID), "retry": q("q", "mail", "ids", entries[2].ID),
		"repair": q("q", "mail", "ids", entries[3].ID, "payload", `{"to":"it's new"}`), "cancel": q("q", "mail", "ids", ready),
		"pause": q("q", "mail"), "resume": q("q", "paused"), "forget": q("q", "busy", "group", "workers", "consumer", "gone-1"),
		"break": q("lock", "nightly"), "delete": q("key", "user:1"),
	}
}

// state is all that an act could change.
func (s *shop) state() string {
	s.Helper()
	keys := s.rdb.Keys(s.Context(), "*").Val()
	var all strings.Builder
	for _, stream := range []string{"mail", "busy", "paused"} {
		stats, err := queue.Inspect(s.rdb).Stats(s.Context(), stream)
		if err != nil {
			s.Fatal(err)
		}
		fmt.Fprintln(&all, stream, stats.Length, stats.Dead, stats.Paused, stats.Cancelled)
		for _, g := range stats.Groups {
			fmt.Fprintln(&all, g.Name, g.Ready, g.Pending, g.Consumers)
		}
		for _, e := range s.rdb.XRange(s.Context(), stream, "-", "+").Val() {
			fmt.Fprintln(&all, e.Values["payload"])
		}
		for _, e := range s.rdb.XRange(s.Context(), queue.DeadStream(stream, ""), "-", "+").Val() {
			fmt.Fprintln(&all, "dead", e.Values["payload"])
		}
	}
	info, _ := lock.Inspect(s.rdb).Info(s.Context(), "nightly")
	fmt.Fprintln(&all, len(info.Holders), s.rdb.Exists(s.Context(), "user:1").Val(), len(keys) > 0)
	return all.String()
}

func TestAViewerCanDoNothingByPageOrByHand(t *testing.T) {
	var may atomic.Pointer[string]
	set := func(rights string) { may.Store(&rights) }
	set("view")
	s := open(t, dashboard.Options{Can: func(_ *http.Request, right dashboard.Right, _ string) bool {
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

func TestTheTasksLookedAtAreTheTasksMoved(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused 1", "other", "refused 2")
	_, body := s.get("confirm?act=redrive&q=mail&error=" + url.QueryEscape("refused #"))
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
	if _, body := s.get("audit"); !strings.Contains(body, "2 tasks of 2 moved back to mail") {
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
	_, body := s.get("confirm?act=redrive&q=mail&error=" + url.QueryEscape("refused #"))
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

// tool builds the tool, and returns a way to run a line of a shell with it against a server.
func tool(t *testing.T) func(line, addr string) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-C", "../cmd", "-o", filepath.Join(dir, "holdfast"), "./holdfast").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(line, addr string) ([]byte, error) {
		run := exec.CommandContext(t.Context(), "sh", "-c", line)
		run.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "REDIS_URL=redis://"+addr)
		return run.CombinedOutput()
	}
}

func TestTheCommandShownDoesTheSame(t *testing.T) {
	run := tool(t)
	byPage, byShell := open(t, dashboard.Options{}), open(t, dashboard.Options{})
	formsOfPage, formsOfShell := byPage.everyAct(), byShell.everyAct()
	for name, form := range formsOfPage {
		form.Set("act", name)
		if code, body := byPage.post(form); code != http.StatusSeeOther {
			t.Fatal(name, code, body)
		}
		twin := formsOfShell[name]
		twin.Set("act", name)
		line := dashboard.CommandOf(name, twin)
		if !strings.Contains(line, " pause ") && !strings.Contains(line, " resume ") {
			line += " --yes"
		}
		if out, err := run(line, byShell.server.Addr); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
		if a, b := byPage.state(), byShell.state(); a != b {
			t.Fatalf("after %s, by the page:\n%sby %q:\n%s", name, a, line, b)
		}
	}
}

func TestTheCommandForAGroupMovesTheSameGroup(t *testing.T) {
	run := tool(t)
	s := open(t, dashboard.Options{})
	s.bury("mail", "refused by 10.0.0.1 at \"x\"", "other", "refused by 10.0.0.2 at \"y\"")
	_, body := s.get("confirm?act=redrive&q=mail&error=" + url.QueryEscape(queue.NormalizeError("refused by 10.0.0.1 at \"x\"")))
	line := command(t, body)
	if !strings.Contains(line, `--where='error~"refused by"'`) {
		t.Error("the command is", line)
	}
	if out, err := run(line+" --yes", s.server.Addr); err != nil || s.dead("mail") != 1 {
		t.Errorf("%v, %s; %d are dead", err, out, s.dead("mail"))
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

// listen reads the events of a page until one is of a kind.
func (s *shop) listen(ctx context.Context, page string) (next func(kind string) string) {
	s.Helper()
	r, _ := http.NewRequestWithContext(ctx, "GET", s.url("events?at="+url.QueryEscape(page)), nil)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return func(kind string) string {
		s.Helper()
		event, data := "", ""
		for lines.Scan() {
			switch line := lines.Text(); {
			case strings.HasPrefix(line, "event: "):
				event, data = line[7:], ""
			case strings.HasPrefix(line, "data: "):
				data += line[6:] + "\n"
			case line == "" && event == kind:
				return data
			}
		}
		s.Fatalf("no %s came: %v", kind, lines.Err())
		return ""
	}
}

func TestWhatChangesIsPushedAndWhatDoesNotIsNot(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.do("LOCK.ACQUIRE", "nightly", "ann", 600000)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listen(ctx, "lock?name=nightly")
	if page := next("main"); !strings.Contains(page, "ann") || strings.Contains(page, "<html") {
		t.Fatal(page)
	}
	next("beat") // though seconds went by, nothing changed
	s.do("LOCK.RELEASE", "nightly", "ann")
	s.do("LOCK.ACQUIRE", "nightly", "bob", 600000)
	if page := next("main"); !strings.Contains(page, "bob") {
		t.Fatal(page)
	}
}

func TestARightThatIsTakenAwayEndsThePushes(t *testing.T) {
	var may atomic.Bool
	may.Store(true)
	s := open(t, dashboard.Options{Can: func(*http.Request, dashboard.Right, string) bool { return may.Load() }})
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

func TestASilentServerIsSaidWithTheTimeOfTheFigures(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.do("LOCK.ACQUIRE", "nightly", "ann", 600000)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listen(ctx, "lock?name=nightly")
	next("main")
	s.server.Kill()
	if at := next("lost"); !regexp.MustCompile(`^\d\d:\d\d:\d\d\n$`).MatchString(at) {
		t.Error(at)
	}
	if code, body := s.get("lock?name=nightly"); code != 200 || !strings.Contains(body, "The figures are from then") || !strings.Contains(body, "ann") {
		t.Error(code, body)
	}
}

func TestManyViewersCostTheServerWhatOneDoes(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.do("LOCK.ACQUIRE", "nightly", "ann", 600000)
	calls := func() (n float64) {
		text := s.rdb.Info(t.Context(), "commandstats").Val()
		if m := regexp.MustCompile(`cmdstat_LOCK\.INFO:calls=(\d+)`).FindStringSubmatch(text); m != nil {
			_ = json.Unmarshal([]byte(m[1]), &n)
		}
		return n
	}
	began := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var viewers []func(string) string
	for range 10 {
		viewers = append(viewers, s.listen(ctx, "lock?name=nightly"))
	}
	for _, next := range viewers {
		next("main")
		next("beat")
	}
	if most := time.Since(began).Seconds()/0.9 + 2; calls() > most {
		t.Errorf("%v calls, at most %v would do", calls(), most)
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
