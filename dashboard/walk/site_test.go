package walk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	gate   gate
}

// gate stops a bulk act over one queue behind its first step.
type gate struct {
	asked  atomic.Int64
	opened chan struct{}
}

// slowly is the queue whose bulk acts stop at the gate.
const slowly = "archive"

func (g *gate) can(r *http.Request, right dashboard.Right, over dashboard.Target) bool {
	if r.URL.Path == "/act" && over.Name == slowly && g.asked.Add(1) == 3 {
		<-g.opened
	}
	return true
}

func openSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, server: holdfasttest.Server(t), gate: gate{opened: make(chan struct{})}}
	s.rdb = s.server.Client()
	mux := http.NewServeMux()
	mux.Handle("/ops/dash/", http.StripPrefix("/ops/dash", dashboard.Handler(s.rdb, dashboard.Options{
		Name: "shop", User: func(*http.Request) string { return "ann" }, Can: s.gate.can, Logger: slog.New(slog.DiscardHandler),
	})))
	s.pages = httptest.NewServer(mux)
	t.Cleanup(func() { s.pages.CloseClientConnections(); s.pages.Close() })
	return s
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

// click clicks what a selector finds, and waits for the page that it leads to.
func (s *site) click(t *tab, selector string) {
	s.Helper()
	s.do(t, "click "+selector, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := chromedp.RunResponse(ctx, chromedp.Click(selector, chromedp.ByQuery))
		return err
	}))
}

// shows waits until the page has a text. It asks again and again from outside: a question that waits
// inside a page is lost with the page when the browser loads the next one.
func (s *site) shows(t *tab, want string) {
	s.Helper()
	var text string
	var err error
	for end := time.Now().Add(stepMost); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if text, err = t.text(); err == nil && strings.Contains(text, want) {
			return
		}
	}
	s.Fatalf("wait for %s: %v\nthe page shows: %s", want, err, text)
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

// everyPage are the pages of a filled server, by what they are.
func (s *site) everyPage() map[string]string {
	s.Helper()
	in := queue.Inspect(s.rdb)
	id := func(stream string, state queue.State) string {
		var page queue.Page
		for range 100 {
			var err error
			if page, err = in.List(s.Context(), stream, queue.ListOptions{State: state, Limit: 1}); err != nil {
				s.Fatal(err)
			}
			if len(page.Tasks) > 0 {
				return page.Tasks[0].ID
			}
			time.Sleep(20 * time.Millisecond)
		}
		s.Fatal(stream, " has no task that is ", state)
		return ""
	}
	return map[string]string{
		"home": "", "all": "?all=1", "queues": "queues", "failures": "queue?q=mail", "dead": "queue?q=mail&tab=dead", "search": "queue?q=mail&tab=dead&where=error~mailbox", "in-work": "queue?q=mail&tab=in-work",
		"ready": "queue?q=mail&tab=ready", "delayed": "queue?q=mail&tab=delayed", "workers": "queue?q=mail&tab=workers",
		"task-dead": "task?q=mail&id=" + id("mail", queue.Dead), "task-in-work": "task?q=mail&id=" + id("mail", queue.InWork), "task-ready": "task?q=mail&id=" + id("reports", queue.Ready), "task-gone": "task?q=mail&id=1-1",
		"locks": "locks", "lock": "lock?name=orders:import", "lock-free": "lock?name=nobody", "cache": "cache", "cache-key": "cache?key=user:1", "audit": "audit",
		"confirm": "confirm?act=redrive&q=mail&where=error~mailbox&back=queue%3Fq%3Dmail", "confirm-delete": "confirm?act=discard&q=mail&where=error~mailbox", "confirm-break": "confirm?act=break&lock=orders:import", "not-found": "nope",
	}
}

func names(all []string) string { return strings.Join(all, "\n") }
