package walk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/redis/go-redis/v9"

	"holdfast/dashboard"
	"holdfast/holdfasttest"
	"holdfast/queue"
)

var browser = sync.OnceValues(func() (context.Context, bool) {
	ctx, _, ok := startBrowser()
	if ok {
		if err := chromedp.Run(ctx); err != nil {
			panic(err)
		}
	}
	return ctx, ok
})

func TestMain(m *testing.M) {
	code := m.Run()
	if ctx, ok := browser(); ok {
		_ = chromedp.Cancel(ctx)
	}
	os.Exit(code)
}

// site is the pages over a server, under a prefix, as programs mount them.
type site struct {
	*testing.T
	server *holdfasttest.Instance
	rdb    *redis.Client
	pages  *httptest.Server
	gate   *gate
}

// gate stops a bulk act over one queue behind its first step.
type gate struct {
	asked  atomic.Int64
	opened chan struct{}
	open   func() // once
}

const (
	slowly = "archive" // the queue whose bulk acts stop at the gate
	hidden = "payroll" // the queue that nobody may see
)

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

func (g *gate) can(r *http.Request, _ dashboard.Right, over dashboard.Target) bool {
	if r.URL.Path == "/act" && over.Name == slowly && g.asked.Add(1) == 3 {
		<-g.opened
	}
	return over.Name != hidden
}

func openSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, server: holdfasttest.Server(t), gate: newGate()}
	s.rdb = s.server.Client()
	mux := http.NewServeMux()
	mux.Handle("/ops/dash/", http.StripPrefix("/ops/dash", dashboard.Handler(s.rdb, dashboard.Options{
		Name: "shop", User: func(*http.Request) string { return "ann" }, Can: s.gate.can, Logger: slog.New(slog.DiscardHandler),
	})))
	s.pages = httptest.NewServer(mux)
	t.Cleanup(func() { s.gate.open(); s.pages.CloseClientConnections(); s.pages.Close() })
	return s
}

// with is the same site for another test.
func (s *site) with(t *testing.T) *site {
	other := *s
	other.T = t
	return &other
}

// fill makes the server one at work.
func (s *site) fill() *site {
	s.Helper()
	shop, err := openShop(context.Background(), s.rdb)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(shop.close)
	return s
}

func (s *site) url(path string) string { return s.pages.URL + "/ops/dash/" + path }

// open opens a tab.
func (s *site) open(d device) *tab {
	s.Helper()
	ctx, ok := browser()
	if !ok {
		s.Skip("there is no chromium")
	}
	t, err := openTab(ctx, d)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(t.stop)
	return t
}

// do does steps in a tab.
func (s *site) do(t *tab, what string, steps ...chromedp.Action) {
	s.Helper()
	if err := t.run(steps...); err != nil {
		text, _ := t.text()
		s.Fatalf("%s: %v\nthe page shows: %s", what, err, text)
	}
}

// goTo loads a page.
func (s *site) goTo(t *tab, path string) {
	s.Helper()
	s.do(t, path, chromedp.Navigate(s.url(path)))
}

// until asks a page from outside, again and again, until ok. An answer that never comes because the
// browser loads the next page meanwhile is asked for again: a question that waits inside a page is lost
// with the page, and so is a node that was found in it.
func (s *site) until(t *tab, what string, ok func() (bool, error)) {
	s.Helper()
	var err error
	for end := time.Now().Add(stepMost); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var yes bool
		if yes, err = ok(); yes && err == nil {
			return
		}
	}
	text, _ := t.text()
	s.Fatalf("%s: never, %v\nthe page shows: %s", what, err, text)
}

// so waits until an expression is true.
func (s *site) so(t *tab, expression string) {
	s.Helper()
	s.until(t, expression, func() (yes bool, err error) {
		err = t.run(chromedp.Evaluate(expression, &yes))
		return yes, err
	})
}

// shows waits until the page has a text.
func (s *site) shows(t *tab, want string) {
	s.Helper()
	s.until(t, "wait for "+want, func() (bool, error) {
		text, err := t.text()
		return strings.Contains(text, want), err
	})
}

// spot is where something lies in a page that is loaded.
type spot struct{ X, Y, Page float64 }

// loaded is the page that is loaded, by when that began; null while it is loading.
const loaded = `document.readyState === 'complete' ? performance.timeOrigin : null`

// find waits until what a selector finds can be clicked, and returns where it is.
func (s *site) find(t *tab, selector string) (at spot) {
	s.Helper()
	s.until(t, "find "+selector, func() (bool, error) {
		var found *spot
		err := t.run(chromedp.Evaluate(fmt.Sprintf(`(() => {
			const e = document.querySelector(%q), page = %s;
			if (!e || !page) return null;
			e.scrollIntoView({ block: 'center' });
			const r = e.getBoundingClientRect(), X = r.left + r.width / 2, Y = r.top + r.height / 2, top = document.elementFromPoint(X, Y);
			return e.contains(top) ? { X, Y, Page: page } : null;
		})()`, selector, loaded), &found))
		if found != nil {
			at = *found
		}
		return found != nil, err
	})
	return at
}

// press clicks what a selector finds.
func (s *site) press(t *tab, selector string) (at spot) {
	s.Helper()
	at = s.find(t, selector)
	s.do(t, "click "+selector, chromedp.MouseClickXY(at.X, at.Y))
	return at
}

// click clicks what a selector finds, and waits for the page that it leads to.
func (s *site) click(t *tab, selector string) {
	s.Helper()
	at := s.press(t, selector)
	s.until(t, "the page behind "+selector, func() (bool, error) {
		var page *float64
		err := t.run(chromedp.Evaluate(loaded, &page))
		return page != nil && *page != at.Page, err
	})
}

// write puts a text into a field.
func (s *site) write(t *tab, selector, text string) {
	s.Helper()
	s.find(t, selector)
	s.so(t, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %q; return e.value === %q; })()`, selector, text, text))
}

// axe is the source of axe-core, or empty where it is not installed.
var axe = sync.OnceValue(func() string {
	source, _ := os.ReadFile("node_modules/axe-core/axe.min.js")
	return string(source)
})

// accessible checks a page with axe-core: with all rules, or with those named.
func (s *site) accessible(t *tab, what string, rules ...string) {
	s.Helper()
	options := `{resultTypes: ['violations']}`
	if len(rules) > 0 {
		options = fmt.Sprintf(`{resultTypes: ['violations'], runOnly: ['%s']}`, strings.Join(rules, `','`))
	}
	var violations []string
	s.do(t, "axe on "+what, chromedp.Evaluate(axe()+`;axe.run(document, `+options+`).then((r) => r.violations.map((v) => v.id + ': ' + v.help + ' ' + v.nodes.slice(0, 3).map((n) => n.html).join(' | ')))`,
		&violations, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	for _, v := range violations {
		s.Errorf("%s: %s", what, v)
	}
}

// fillForActs is fill, with what every act can be done to.
func (s *site) fillForActs() *site {
	s.Helper()
	s.fill()
	pipe := s.rdb.Pipeline()
	pipe.Do(s.Context(), "TASK.PUBLISH", "orders", "x")
	pipe.XGroupCreate(s.Context(), "orders", "workers", "0")
	pipe.Do(s.Context(), "XREADGROUP", "GROUP", "workers", "gone-1", "COUNT", 1, "STREAMS", "orders", ">")
	pipe.Do(s.Context(), "TASK.PUBLISH", slowly, "x")
	bury(s.Context(), pipe, []cause{{slowly, "refused", 1500, time.Hour}}, time.Now())
	if _, err := pipe.Exec(s.Context()); err != nil {
		s.Fatal(err)
	}
	return s
}

// post does an act without the browser, and returns where the pages lead then.
func (s *site) post(pairs ...string) string {
	s.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.PostForm(s.url("act"), form)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		s.Fatal(form, answer.Status)
	}
	return answer.Header.Get("Location")
}

// everyPage are the pages of a site that was filled for acts, by what they are. Some acts are done
// for them, and one is under way.
func (s *site) everyPage() map[string]string {
	s.Helper()
	in := queue.Inspect(s.rdb)
	first := func(stream string, state queue.State) (task queue.Record) {
		s.Helper()
		for end := time.Now().Add(stepMost); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			page, err := in.List(s.Context(), stream, queue.ListOptions{State: state, Limit: 1})
			if err != nil {
				s.Fatal(err)
			}
			if len(page.Tasks) > 0 {
				return page.Tasks[0]
			}
		}
		s.Fatal(stream, " has no task that is ", state)
		return task
	}
	id := func(stream string, state queue.State) string { return first(stream, state).ID }
	s.post("act", "resume", "q", "reports")
	s.post("act", "pause", "q", "reports")
	s.post("act", "redrive", "q", "images", "where", "error~unknown", "of", "6", "upto", "9999999999999-0")
	going := s.post("act", "redrive", "q", slowly, "where", "error~refused", "of", "1500", "upto", "9999999999999-0")
	if !strings.HasPrefix(going, "job?") {
		s.Fatal(going)
	}
	return map[string]string{
		"home": "", "all": "?all=1", "queues": "queues", "queues-match": "queues?match=ma*", "failures": "queue?q=mail", "dead": "queue?q=mail&tab=dead", "search": "queue?q=mail&tab=dead&where=error~mailbox",
		"search-wrong": "queue?q=mail&tab=dead&where=nonsense", "in-work": "queue?q=sync&tab=in-work", "ready": "queue?q=mail&tab=ready", "delayed": "queue?q=mail&tab=delayed", "held": "queue?q=sync&tab=keys",
		"workers": "queue?q=mail&tab=workers", "workers-gone": "queue?q=orders&tab=workers", "queue-unknown": "queue?q=nobody",
		"task-dead": "task?q=mail&id=" + id("mail", queue.Dead), "task-in-work": "task?q=sync&id=" + id("sync", queue.InWork), "task-held": "task?q=sync&id=" + id("sync", queue.Held),
		"task-delayed": "task?q=mail&id=" + id("mail", queue.Delayed), "task-ready": "task?q=mail&id=" + id("reports", queue.Ready), "task-gone": "task?q=mail&id=1-1", "task-hex": "task?q=mail&show=hex&id=" + id("mail", queue.Dead),
		"locks": "locks", "lock": "lock?name=orders:import", "lock-free": "lock?name=nobody", "cache": "cache", "cache-key": "cache?key=user:1", "audit": "audit", "job": "job?id=3", "job-going": going,
		"confirm": "confirm?act=redrive&q=mail&where=error~mailbox&back=queue%3Fq%3Dmail", "confirm-all": "confirm?act=discard&q=mail&where=error~mailbox", "confirm-none": "confirm?act=redrive&q=mail&where=error~nothing",
		"confirm-delete": "confirm?act=discard&q=mail&ids=" + first("mail", queue.Dead).Entry, "confirm-cancel": "confirm?act=cancel&q=reports&ids=" + id("reports", queue.Ready),
		"confirm-forget": "confirm?act=forget&q=orders&group=workers&consumer=gone-1", "confirm-break": "confirm?act=break&lock=orders:import", "confirm-cache": "confirm?act=delete&key=user:1",
		"not-found": "nope", "denied": "queue?q=" + hidden, "not-said": "queue",
	}
}

// refused are the pages that say no.
var refused = map[string]string{"not-found": "404", "not-said": "404", "denied": "403"}

func names(all []string) string { return strings.Join(all, "\n") }
