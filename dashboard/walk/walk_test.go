package walk

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"holdfast/queue"
)

func TestEveryPageIsWholeInLightDarkAndOnAPhone(t *testing.T) {
	s := openSite(t)
	tabs := []*tab{s.open(light), s.open(dark), s.open(phone)}
	s.fill()
	if axe() == "" {
		t.Log("skipped: accessibility, for axe-core is not installed (npm ci in dashboard/walk)")
	}
	pages := s.everyPage()
	for i, d := range []device{light, dark, phone} {
		tab := tabs[i]
		for _, name := range slices.Sorted(maps.Keys(pages)) {
			what := name + ", " + d.name
			s.goTo(tab, pages[name])
			var wide []string
			s.do(tab, what, chromedp.Evaluate(`[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.wide, .tabs, .payload, .skip')).map((e) => e.outerHTML.slice(0, 120))`, &wide))
			if len(wide) > 0 {
				t.Errorf("%s is wider than the screen: %s", what, wide[0])
			}
			switch {
			case axe() == "":
			case d == dark: // the colours are all that differs
				s.accessible(tab, what, "color-contrast")
			default:
				s.accessible(tab, what)
			}
			for _, fault := range tab.faults() {
				if !strings.Contains(fault, "404") || name != "not-found" {
					t.Errorf("%s: %s", what, fault)
				}
			}
		}
	}
}

// everyAct does every act by the buttons of the pages.
func (s *site) everyAct(tab *tab) {
	s.Helper()
	dead := func(stream string) int64 { return s.rdb.XLen(s.Context(), queue.DeadStream(stream, "")).Val() }
	did := func(want string) {
		s.Helper()
		s.shows(tab, want)
	}
	// A group of failures, by its cause.
	s.goTo(tab, "queue?q=mail")
	s.click(tab, `.causes li:nth-child(1) .do a:nth-child(1)`)
	did("Run 112 tasks of mail again?")
	s.click(tab, `.confirm button.strong`)
	did("112 tasks moved back to mail")
	s.click(tab, `.causes li:nth-child(2) .do a:nth-child(2)`)
	did("Delete 4 tasks of mail?")
	s.click(tab, `.confirm button.danger`)
	did("4 tasks deleted from mail")
	if n := dead("mail"); n != 31 {
		s.Error(n, " dead letters are left, not 31")
	}
	// One task.
	s.goTo(tab, "queue?q=mail&tab=dead&where=error~mailbox")
	s.click(tab, `.tasks tbody tr:first-child form button`)
	did("1 task moved back to mail")
	if u, _ := url.Parse(s.at(tab)); u.Query().Get("where") != "error~mailbox" {
		s.Error("the filter is gone: ", u)
	}
	s.click(tab, `.tasks tbody tr:first-child td.id a`)
	s.do(tab, "repair", chromedp.Click(`.repair summary`, chromedp.ByQuery), chromedp.WaitVisible(`.repair textarea`, chromedp.ByQuery), chromedp.SetValue(`.repair textarea`, `{"to":"new@example.com"}`, chromedp.ByQuery))
	s.click(tab, `.repair button`)
	did("1 task repaired and moved back to mail")
	s.goTo(tab, "queue?q=mail&tab=dead")
	s.click(tab, `.tasks tbody tr:first-child td.id a`)
	s.click(tab, `.head a.danger`)
	s.click(tab, `.confirm button.danger`)
	did("1 task of mail deleted")
	if n := dead("mail"); n != 28 {
		s.Error(n, " dead letters are left, not 28")
	}
	s.goTo(tab, "queue?q=reports&tab=ready")
	s.click(tab, `.tasks tbody tr:first-child td.id a`)
	s.click(tab, `.head a.danger`)
	s.click(tab, `.confirm button.danger`)
	did("1 task of reports cancelled")
	// A queue.
	s.goTo(tab, "queue?q=reports")
	s.click(tab, `.head form button`)
	did("reports goes on")
	s.click(tab, `.head form button`)
	did("reports is paused")
	s.goTo(tab, "confirm?act=forget&q=orders&group=workers&consumer=gone-1")
	s.click(tab, `.confirm button.danger`)
	did("gone-1 forgotten, 1 task given to the others")
	// A lock, and a cached value.
	s.goTo(tab, "lock?name=orders:import")
	s.click(tab, `.head a.danger`)
	s.click(tab, `.confirm button.danger`)
	did("1 holder of orders:import removed")
	s.goTo(tab, "cache?key=user:1")
	s.click(tab, `.found a.danger`)
	s.click(tab, `.confirm button.danger`)
	did("1 value deleted")
	// A bulk act that is stopped.
	s.goTo(tab, "confirm?act=redrive&q="+slowly+"&where=error~refused")
	s.click(tab, `.confirm button.strong`)
	did("Run again: 33 %")
	s.click(tab, `main form button.danger`)
	close(s.gate.opened)
	for range 100 { // without a script the page is loaded again
		s.do(tab, "reload", chromedp.Reload())
		if text, _ := tab.text(); strings.Contains(text, "Stopped: 500 tasks moved back to "+slowly) {
			break
		}
	}
	did("Stopped: 500 tasks moved back to " + slowly)
	s.goTo(tab, "audit")
	for _, act := range []string{"redrive mail", "discard mail", "repair mail", "cancel reports", "resume reports", "pause reports", "forget orders", "break orders:import", "delete user:1", "redrive " + slowly} {
		did(act)
	}
	if faults := tab.faults(); len(faults) > 0 {
		s.Error(names(faults))
	}
}

func (s *site) at(tab *tab) (address string) {
	s.Helper()
	s.do(tab, "location", chromedp.Location(&address))
	return address
}

// openForActs is a site on which every act can be done.
func openForActs(t *testing.T) *site {
	s := openSite(t).fill()
	pipe := s.rdb.Pipeline()
	pipe.Do(t.Context(), "TASK.PUBLISH", "orders", "x")
	pipe.XGroupCreate(t.Context(), "orders", "workers", "0")
	pipe.Do(t.Context(), "XREADGROUP", "GROUP", "workers", "gone-1", "COUNT", 1, "STREAMS", "orders", ">")
	pipe.Do(t.Context(), "TASK.PUBLISH", slowly, "x")
	bury(t.Context(), pipe, []cause{{slowly, "refused", 1500, time.Hour}}, time.Now())
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryActIsDoneByAButton(t *testing.T) {
	s := openForActs(t)
	s.everyAct(s.open(light))
}

func TestEveryActIsDoneWithoutAScript(t *testing.T) {
	s := openForActs(t)
	tab := s.open(light)
	s.do(tab, "no script", emulation.SetScriptExecutionDisabled(true))
	s.everyAct(tab)
}

func TestAnOpenPageFollowsTheServer(t *testing.T) {
	s := openSite(t)
	tab := s.open(light)
	s.rdb.Do(t.Context(), "LOCK.ACQUIRE", "nightly", "ann", 600000)
	s.goTo(tab, "locks")
	s.shows(tab, "live")
	// What a person types stays, and so does the focus, while the page changes.
	s.do(tab, "type", chromedp.SendKeys(`.search input[type=search]`, "night", chromedp.ByQuery), chromedp.Blur(`.search input[type=search]`, chromedp.ByQuery))
	s.rdb.Do(t.Context(), "LOCK.ACQUIRE", "weekly", "bob", 600000)
	began := time.Now()
	s.shows(tab, "weekly")
	if took := time.Since(began); took > 5*time.Second {
		t.Error("a change is shown after ", took)
	}
	var typed string
	s.do(tab, "what was typed", chromedp.Value(`.search input[type=search]`, &typed, chromedp.ByQuery))
	if typed != "night" {
		t.Errorf("what was typed became %q", typed)
	}
	// The pause button.
	s.do(tab, "pause", chromedp.Click(`#lamp`, chromedp.ByQuery))
	s.shows(tab, "paused")
	s.do(tab, "go on", chromedp.Click(`#lamp`, chromedp.ByQuery))
	s.shows(tab, "live")
	// The keys.
	s.do(tab, "keys", chromedp.KeyEvent("?"))
	s.do(tab, "the list of keys", chromedp.WaitVisible(`#keys[open]`, chromedp.ByQuery), chromedp.Click(`#keys button`, chromedp.ByQuery))
	s.do(tab, "g q", chromedp.KeyEvent("g"), chromedp.KeyEvent("q"), chromedp.WaitVisible(`h1`, chromedp.ByQuery))
	s.shows(tab, "No queues yet")
	s.do(tab, "back", chromedp.NavigateBack())
	s.shows(tab, "weekly")
	if faults := tab.faults(); len(faults) > 0 {
		t.Error(names(faults))
	}
}

func TestALostServerIsSaidWithin3Seconds(t *testing.T) {
	s := openSite(t)
	tab := s.open(light)
	s.rdb.Do(t.Context(), "LOCK.ACQUIRE", "nightly", "ann", 600000)
	s.goTo(tab, "locks")
	s.shows(tab, "nightly")
	s.server.Kill()
	began := time.Now()
	s.shows(tab, "The server has not answered since ")
	if took := time.Since(began); took > 6*time.Second {
		t.Error("the loss is said after ", took)
	} else {
		t.Log("the loss is said after ", took.Round(10*time.Millisecond))
	}
	s.shows(tab, "nightly") // what is known stays
	s.server.Restart()
	s.do(tab, "the server is back", chromedp.Poll(`document.getElementById('lost').hidden`, nil))
}

func TestAPageWeighsLittle(t *testing.T) {
	s := openSite(t).fill()
	tab := s.open(light)
	s.goTo(tab, "")
	s.shows(tab, "live")
	first, assets := tab.weighed()
	if first > 120<<10 || len(assets) == 0 {
		t.Errorf("the first visit is %.0f bytes, of assets %v", first, assets)
	}
	s.goTo(tab, "queue?q=mail")
	s.shows(tab, "live")
	second, again := tab.weighed()
	for name := range again {
		if _, known := assets[name]; known {
			t.Errorf("the second visit fetches %s again", name)
		}
	}
	t.Logf("the first page %.1f KB, the second %.1f KB", first/1024, second/1024)
}

func TestTwentyCausesAreOnOneScreen(t *testing.T) {
	s := openSite(t)
	tab := s.open(light)
	pipe := s.rdb.Pipeline()
	pipe.Do(t.Context(), "TASK.PUBLISH", "webhooks", "x")
	var many []cause
	for i := range 40 {
		many = append(many, cause{"webhooks", fmt.Sprintf("POST %s: %s", string(rune('a'+i%26)), strings.Repeat(string(rune('a'+i/2)), 8)), 40 - i, time.Hour})
	}
	bury(t.Context(), pipe, many, time.Now())
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.goTo(tab, "queue?q=webhooks")
	var whole int
	s.do(tab, "count", chromedp.Evaluate(`[...document.querySelectorAll('.causes li')].filter((e) => e.getBoundingClientRect().bottom <= innerHeight).length`, &whole))
	if whole < 20 {
		t.Errorf("%d causes are on the first screen", whole)
	}
	t.Log(whole, " causes on the first screen")
}

// Nothing moves while a page is loaded and while its figures change.
func TestNothingJumps(t *testing.T) {
	s := openSite(t).fill()
	tab := s.open(light)
	for _, path := range []string{"", "queue?q=mail&tab=in-work", "locks"} {
		s.goTo(tab, path)
		s.shows(tab, "live")
		var shift float64
		s.do(tab, path, chromedp.Evaluate(`new Promise((done) => {
			let sum = 0;
			new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; }).observe({ type: 'layout-shift', buffered: true });
			setTimeout(() => done(sum), 2500);
		})`, &shift, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		if shift > 0.1 {
			t.Errorf("%q shifts by %.3f", path, shift)
		}
		t.Logf("%q shifts by %.4f", path, shift)
	}
}
