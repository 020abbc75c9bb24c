package walk

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserIn are the names of the browser.
var browserIn = []string{"chromium", "chromium-browser", "google-chrome"}

// startBrowser starts a browser without a window; ok is false where there is none.
func startBrowser() (ctx context.Context, stop func(), ok bool) {
	path := ""
	for _, name := range browserIn {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		return nil, nil, false
	}
	ctx, stopAll := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("hide-scrollbars", true), chromedp.Flag("disable-dev-shm-usage", true))...)
	ctx, stopOne := chromedp.NewContext(ctx)
	return ctx, func() { stopOne(); stopAll() }, true
}

// tab is a tab of the browser, and what went wrong in it.
type tab struct {
	ctx  context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	wrong  []string
	weight map[string]float64 // bytes that came over the network, by the last part of the address
	names  map[network.RequestID]string
}

// device is what a page is looked at with.
type device struct {
	name          string
	width, height int64
	dark          bool
	scale         float64
}

var (
	light = device{"light", 1440, 900, false, 1}
	dark  = device{"dark", 1440, 900, true, 1}
	phone = device{"phone", 390, 844, false, 2}
)

// openTab opens a tab.
func openTab(browser context.Context, d device) (*tab, error) {
	ctx, stop := chromedp.NewContext(browser)
	t := &tab{ctx: ctx, stop: stop, weight: map[string]float64{}, names: map[network.RequestID]string{}}
	chromedp.ListenTarget(ctx, func(event any) {
		t.mu.Lock()
		defer t.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.wrong = append(t.wrong, "exception: "+e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				t.wrong = append(t.wrong, fmt.Sprintf("console: %v", e.Args))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
				t.wrong = append(t.wrong, "log: "+e.Entry.Text+" "+e.Entry.URL)
			}
		case *network.EventResponseReceived:
			path, _, _ := strings.Cut(e.Response.URL, "?")
			t.names[e.RequestID] = path[strings.LastIndex(path, "/")+1:]
		case *network.EventLoadingFinished:
			t.weight[t.names[e.RequestID]] += e.EncodedDataLength
		}
	})
	theme := "light"
	if d.dark {
		theme = "dark"
	}
	err := chromedp.Run(ctx, network.Enable(), log.Enable(), runtime.Enable(),
		emulation.SetFocusEmulationEnabled(true), // a tab that is hidden follows no server
		emulation.SetDeviceMetricsOverride(d.width, d.height, d.scale, d.width < 700),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}))
	if err != nil {
		stop()
		return nil, err
	}
	return t, nil
}

// stepMost bounds one step of a walk.
const stepMost = 20 * time.Second

// run does steps in the tab.
func (t *tab) run(steps ...chromedp.Action) error {
	ctx, stop := context.WithTimeout(t.ctx, stepMost)
	defer stop()
	return chromedp.Run(ctx, steps...)
}

// faults returns what went wrong since it was last called.
func (t *tab) faults() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.wrong
	t.wrong = nil
	return all
}

// weighed returns the bytes that came since it was last called: in all, and for each file that a
// browser keeps.
func (t *tab) weighed() (all float64, kept map[string]float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept = map[string]float64{}
	for name, n := range t.weight {
		if all += n; n > 0 && strings.Contains(name, ".") {
			kept[name] = n
		}
	}
	t.weight = map[string]float64{}
	return all, kept
}

// text is what the page shows.
func (t *tab) text() (s string, err error) {
	err = t.run(chromedp.Evaluate(`document.body.innerText`, &s))
	return s, err
}

// picture is the visible part of the page as PNG.
func (t *tab) picture() (png []byte, err error) {
	err = t.run(page.BringToFront(), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).Do(ctx)
		return err
	}))
	return png, err
}
