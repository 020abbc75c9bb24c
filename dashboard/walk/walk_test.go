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
	s := openSite(t).fillForActs()
	if axe() == "" {
		t.Log("skipped: accessibility, for axe-core is not installed (npm ci in dashboard/walk)")
	}
	pages := s.everyPage()
	for _, d := range []device{light, dark, phone} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := s.with(t)
			tab := s.open(d)
			for _, name := range slices.Sorted(maps.Keys(pages)) {
				s.goTo(tab, pages[name])
				s.whole(tab, name, d)
			}
		})
	}
}

// whole checks a page that is loaded.
func (s *site) whole(tab *tab, name string, d device) {
	s.Helper()
	var wide []string
	s.do(tab, name, chromedp.Evaluate(`[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.wide, .tabs, .payload, .skip')).map((e) => e.outerHTML.slice(0, 120))`, &wide))
	if len(wide) > 0 {
		s.Errorf("%s is wider than the screen: %s", name, wide[0])
	}
	switch {
	case axe() == "":
	case d == dark: // the colours are all that differs
		s.accessible(tab, name, "color-contrast")
	case d == phone: // the style is all that differs
		s.accessible(tab, name, "color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block")
	default:
		s.accessible(tab, name)
	}
	for _, fault := range tab.faults() {
		if code := refused[name]; code == "" || !strings.Contains(fault, code) {
			s.Errorf("%s: %s", name, fault)
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
	s.press(tab, `.repair summary`)
	s.write(tab, `.repair textarea`, `{"to":"new@example.com"}`)
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
	s.gate.open()
	s.until(tab, "the act stops", func() (bool, error) { // without a script the page is loaded again
		s.do(tab, "reload", chromedp.Reload())
		text, err := tab.text()
		return strings.Contains(text, "Stopped: 500 tasks moved back to "+slowly), err
	})
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

func TestEveryActIsDoneByAButton(t *testing.T) {
	t.Parallel()
	s := openSite(t).fillForActs()
	s.everyAct(s.open(light))
}

func TestEveryActIsDoneWithoutAScript(t *testing.T) {
	t.Parallel()
	s := openSite(t).fillForActs()
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
	s.press(tab, `.search input[type=search]`)
	s.do(tab, "type", chromedp.KeyEvent("night"), chromedp.Evaluate(`document.activeElement.blur()`, nil))
	s.rdb.Do(t.Context(), "LOCK.ACQUIRE", "weekly", "bob", 600000)
	began := time.Now()
	s.shows(tab, "weekly")
	if took := time.Since(began); took > 5*time.Second {
		t.Error("a change is shown after ", took)
	}
	s.so(tab, `document.querySelector('.search input[type=search]').value === 'night'`)
	// The pause button.
	s.press(tab, `#lamp`)
	s.shows(tab, "paused")
	s.press(tab, `#lamp`)
	s.shows(tab, "live")
	// The keys.
	s.do(tab, "keys", chromedp.KeyEvent("?"))
	s.press(tab, `#keys[open] button`)
	s.so(tab, `!document.getElementById('keys').open`)
	s.do(tab, "g q", chromedp.KeyEvent("g"), chromedp.KeyEvent("q"))
	s.shows(tab, "No queues yet")
	s.do(tab, "back", chromedp.Evaluate(`history.back()`, nil))
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
	s.so(tab, `document.getElementById('lost').hidden`)
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
	for _, path := range []string{"", "queue?q=mail&tab=in-work", "locks"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := s.with(t)
			tab := s.open(light)
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
		})
	}
}
