// Package dashboard is web pages over the modules: what is stuck, why it failed, and run it again.
//
//	mux.Handle("/holdfast/", http.StripPrefix("/holdfast", dashboard.Handler(rdb, dashboard.Options{
//		User: func(r *http.Request) string { return session(r).Email },
//		Can: func(r *http.Request, right dashboard.Right, over dashboard.Target) bool {
//			return right == dashboard.View || session(r).Owns(over.Name)
//		},
//	})))
//
// The pages are rendered on the server and can be read without JavaScript. Links are relative, so
// the pages work under any prefix and behind any proxy. Changes are pushed. The server is asked at
// most once a second for each page, however many people look at it, and not while nobody looks.
//
// The pages have no login of their own: put the handler behind yours, and set Options.Can.
package dashboard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/lock"
	"holdfast/queue"
)

// Right is what a person may do.
type Right string

const (
	View    Right = "view"    // see
	Operate Right = "operate" // acts that lose nothing: redrive, repair, pause, resume
	Destroy Right = "destroy" // discard, cancel, forget, break a lock, delete a cached value
)

// Kind is a kind of Target.
type Kind string

const (
	Queue  Kind = "queue"  // the Name is the queue's stream
	Lock   Kind = "lock"   // the Name is the lock's
	Cache  Kind = "cache"  // the Name is the cached key
	Server Kind = "server" // findings about servers, and the audit; there is no Name
)

// Target is what a right is over. An empty Name stands for a kind as a whole: its entry in the
// menu, its list, its counters. A list shows only the rows over which the person has View.
type Target struct {
	Kind Kind
	Name string
}

// Options of a Handler. The zero Options let everybody who reaches the handler do everything.
type Options struct {
	// User names the person who asks, for the audit. Defaults to the address.
	User func(r *http.Request) string

	// Can reports whether the person who asks has a right over a target. Can is called for every
	// page, every row of a list, every push and every act, and between the steps of a bulk act
	// with the request that began it; it must be fast and safe for concurrent use. Defaults to yes.
	Can func(r *http.Request, right Right, over Target) bool

	// Redact changes a task before the pages show it: its Payload, Headers, Error and History. With
	// Redact, payloads can be neither searched nor repaired on the pages.
	Redact func(stream string, task *queue.Record)

	// ReadOnly refuses every act.
	ReadOnly bool

	// Production marks the pages, and asks for the target's name to be typed before an act that
	// needs Destroy.
	Production bool

	// Name is what the server is called on the pages.
	Name string

	// Logger gets a line for each act. The audit page shows only the last 500 acts of this
	// process. Defaults to slog.Default().
	Logger *slog.Logger
}

// board is the state behind the pages.
type board struct {
	Options
	rdb    redis.UniversalClient
	queues *queue.Inspector
	locks  *lock.Inspector
	caches *cache.Inspector
	memory memory
	pulse  pulse
	trail  trail
	terms  terms

	running atomic.Int32 // bulk acts
}

// Handler returns the pages over rdb. It needs no Close: goroutines run only while a page is made
// or a bulk act goes on, and a bulk act that the end of the process cuts off can be repeated.
func Handler(rdb redis.UniversalClient, o Options) http.Handler {
	if o.User == nil {
		o.User = func(r *http.Request) string { return r.RemoteAddr }
	}
	if o.Can == nil {
		o.Can = func(*http.Request, Right, Target) bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	b := &board{Options: o, rdb: rdb, queues: queue.Inspect(rdb), locks: lock.Inspect(rdb), caches: cache.Inspect(rdb)}
	return http.NewCrossOriginProtection().Handler(compressed(b))
}

// policy lets a page load what this handler serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == "" { // mounted without a slash at the end: relative links would go astray
		at, _, _ := strings.Cut(r.RequestURI, "?")
		http.Redirect(w, r, path.Base(at)+"/", http.StatusSeeOther)
		return
	}
	switch name := strings.TrimPrefix(r.URL.Path, "/"); {
	case strings.HasPrefix(name, "assets/"):
		b.asset(w, r, strings.TrimPrefix(name, "assets/"))
	case r.Method == http.MethodPost && name == "act":
		b.act(w, r)
	case r.Method == http.MethodPost && name == "stop":
		b.stop(w, r)
	case r.Method == http.MethodPost && name == "theme":
		b.theme(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		b.refuse(w, r, failure{http.StatusMethodNotAllowed, "This page can only be read."})
	case name == "events":
		b.events(w, r)
	default:
		b.show(w, r)
	}
}

// failure is an error that people are told, and its status.
type failure struct {
	code int
	text string
}

func (f failure) Error() string { return f.text }

// pages are the pages by their paths.
var pages = map[string]func(*visit) (page, error){
	"/": home, "/queues": queuesPage, "/queue": queuePage, "/task": taskPage, "/locks": locksPage, "/lock": lockPage,
	"/cache": cachePage, "/audit": auditPage, "/confirm": confirmPage, "/job": jobPage,
}

// page is what a template is given.
type page struct {
	name  string // of the template
	Title string
	Menu  Kind // the entry of the menu that the page belongs to
	Data  any
	Live  bool // changes are pushed
}

// visit is one look at one page by one person.
type visit struct {
	*board
	r    *http.Request
	Now  time.Time
	Lost time.Time // the server does not answer, and the figures are from then
	gone error     // why the server does not answer; then it is asked nothing
	why  string    // what it says instead of an answer
	may  map[question]bool
	of   map[string]time.Time // when the answers of each kind are from
	page
}

// question is one question to Options.Can.
type question struct {
	right Right
	over  Target
}

func (b *board) visit(r *http.Request) *visit { return &visit{board: b, r: r, Now: time.Now()} }

// find makes the page that a request is for.
func (v *visit) find() (err error) {
	make := pages[path.Clean("/"+v.r.URL.Path)]
	if make == nil {
		return failure{http.StatusNotFound, "There is no such page."}
	}
	v.feel()
	v.page, err = make(v)
	return err
}

// May reports whether the visitor has a right over a target. Options.Can is asked once a visit.
func (v *visit) May(right Right, over Target) bool {
	q := question{right, over}
	yes, asked := v.may[q]
	if !asked {
		yes = v.allows(v.r, right, over)
		if v.may == nil {
			v.may = map[question]bool{}
		}
		v.may[q] = yes
	}
	return yes
}

func (b *board) allows(r *http.Request, right Right, over Target) bool {
	return (right == View || !b.ReadOnly) && b.Can(r, right, over)
}

// Area reports whether the visitor may see a kind as a whole.
func (v *visit) Area(kind string) bool { return v.May(View, Target{Kind: Kind(kind)}) }

// need is an error where the visitor has not the right.
func (v *visit) need(right Right, over Target) error {
	switch {
	case v.May(right, over):
		return nil
	case v.ReadOnly && right != View:
		return failure{http.StatusForbidden, "These pages are read-only."}
	}
	return failure{http.StatusForbidden, strings.TrimSpace(fmt.Sprintf("You do not have the right %q over the %s %s", right, over.Kind, short(over.Name))) + "."}
}

func (v *visit) arg(name string) string { return v.r.URL.Query().Get(name) }

// Href is this page with one argument changed and the cursor dropped.
func (v *visit) Href(name, value string) string {
	q := v.r.URL.Query()
	q.Del("cursor")
	q.Del("did")
	q.Del("theme")
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	return link(strings.TrimPrefix(v.r.URL.Path, "/"), q)
}

// Here is this page.
func (v *visit) Here() string { return v.Href("did", "") }

func link(to string, q url.Values) string {
	if to == "" {
		to = "./"
	}
	if len(q) == 0 {
		return to
	}
	return to + "?" + q.Encode()
}

func (b *board) show(w http.ResponseWriter, r *http.Request) {
	v := b.visit(r)
	if err := v.find(); err != nil {
		b.refuse(w, r, err)
		return
	}
	b.write(w, v, http.StatusOK)
}

// write renders a whole page.
func (b *board) write(w http.ResponseWriter, v *visit, code int) {
	var whole bytes.Buffer
	if err := v.render(&whole, "layout"); err != nil {
		b.Logger.Error("dashboard: render", "page", v.r.URL.Path, "error", err)
		http.Error(w, "The page cannot be shown; the log has the reason.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(whole.Bytes())
}

// refuse shows an error as a page. The page of a server that does not answer stays open, and is filled
// in when the server is back.
func (b *board) refuse(w http.ResponseWriter, r *http.Request, err error) {
	v := b.visit(r)
	f, title := failure{http.StatusBadRequest, err.Error()}, "This cannot be shown."
	live := false
	switch {
	case errors.As(err, &f):
		title = http.StatusText(f.code)
	case answered(err):
		f.text, title = "It says: "+f.text, "The server refuses."
		if redis.HasErrorPrefix(err, "NOPERM") {
			f.code = http.StatusForbidden
		}
	case unready(err):
		f, title, live = failure{http.StatusServiceUnavailable, "It says: " + f.text}, "The server is not ready.", true
	case silent(err):
		f.code, title, live = http.StatusBadGateway, "The server does not answer.", true
	}
	v.page = page{name: "error", Title: title, Data: f.text, Live: live && r.Method == http.MethodGet && pages[path.Clean("/"+r.URL.Path)] != nil}
	b.write(w, v, f.code)
}
