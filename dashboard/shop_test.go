package dashboard_test

import (
	"bufio"
	"context"
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
	prefix string // of the names that everyAct uses
}

func open(t *testing.T, o dashboard.Options, of ...holdfasttest.Option) *shop {
	t.Helper()
	s := &shop{T: t, server: holdfasttest.Server(t, of...)}
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
	return s.visit(s.url(path))
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

// everyAct is a form for each act, on names that begin with the shop's prefix.
func (s *shop) everyAct() map[string]url.Values {
	mail, busy, paused, nightly, user := s.prefix+"mail", s.prefix+"busy", s.prefix+"paused", s.prefix+"nightly", s.prefix+"user:1"
	s.bury(mail, "a", "b", "c", "d", "e")
	s.do("TASK.PUBLISH", busy, "x")
	s.do("XGROUP", "CREATE", busy, "workers", "0")
	s.do("XREADGROUP", "GROUP", "workers", s.prefix+"gone-1", "COUNT", 1, "STREAMS", busy, ">")
	ready := s.rdb.Do(s.Context(), "TASK.PUBLISH", mail, "ready").Val().(string)
	s.do("TASK.PUBLISH", paused, "x")
	s.do("TASK.PAUSE", paused)
	s.do("LOCK.ACQUIRE", nightly, "ann", 60000)
	s.do("CACHE.SET", user, "v", 60000)
	entries := s.rdb.XRange(s.Context(), queue.DeadStream(mail, ""), "-", "+").Val()
	return map[string]url.Values{
		"redrive": q("q", mail, "ids", entries[0].ID), "discard": q("q", mail, "ids", entries[1].ID),
		"repair": q("q", mail, "ids", entries[3].ID, "payload", `{"to":"it's new"}`), "cancel": q("q", mail, "ids", ready),
		"pause": q("q", mail), "resume": q("q", paused), "forget": q("q", busy, "group", "workers", "consumer", s.prefix+"gone-1"),
		"break": q("lock", nightly), "delete": q("key", user),
	}
}

// state is all that an act could change.
func (s *shop) state() string {
	s.Helper()
	keys := s.rdb.Keys(s.Context(), "*").Val()
	var all strings.Builder
	for _, name := range []string{"mail", "busy", "paused"} {
		stream := s.prefix + name
		stats, err := queue.Inspect(s.rdb).Stats(s.Context(), stream)
		if err != nil {
			s.Fatal(err)
		}
		fmt.Fprintln(&all, name, stats.Length, stats.Dead, stats.Paused, stats.Cancelled)
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
	info, _ := lock.Inspect(s.rdb).Info(s.Context(), s.prefix+"nightly")
	fmt.Fprintln(&all, len(info.Holders), s.rdb.Exists(s.Context(), s.prefix+"user:1").Val(), len(keys) > 0)
	return all.String()
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

// sure is a command line that does not ask.
func sure(line string) string {
	return regexp.MustCompile(`^holdfast \w+ \w+`).ReplaceAllString(line, "$0 --yes")
}

// visit gets a page by its whole address.
func (s *shop) visit(address string) (int, string) {
	s.Helper()
	r, _ := http.NewRequestWithContext(s.Context(), "GET", address, nil)
	code, body, _ := s.send(r)
	return code, body
}

// listen reads the events of a page until one is of a kind.
func (s *shop) listen(ctx context.Context, page string) (next func(kind string) string) {
	s.Helper()
	return s.listenAt(ctx, s.url(""), page)
}

// listenAt is listen for other pages than the shop's.
func (s *shop) listenAt(ctx context.Context, pages, page string) (next func(kind string) string) {
	s.Helper()
	r, _ := http.NewRequestWithContext(ctx, "GET", pages+"events?at="+url.QueryEscape(page), nil)
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
