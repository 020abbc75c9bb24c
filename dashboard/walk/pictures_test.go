package walk

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// view is a picture of the documentation.
type view struct {
	file, path string
	device
}

func (d device) sized(width, height int64) device {
	d.width, d.height = width, height
	return d
}

// docViews are the pictures in docs/pictures; the others are for whoever changes the pages.
var docViews = []view{
	{"home", "", light.sized(1280, 860)}, {"queue", "queue?q=mail", light.sized(1280, 560)}, {"lock", "lock?name=orders:import", dark.sized(1280, 600)},
}

// TestThePicturesOfTheDocumentation takes the pictures into the folder HOLDFAST_PICTURES: see
// make screenshots. With HOLDFAST_PICTURES_ALL, every page is taken on every device.
func TestThePicturesOfTheDocumentation(t *testing.T) {
	folder := os.Getenv("HOLDFAST_PICTURES")
	if folder == "" {
		t.Skip("HOLDFAST_PICTURES names no folder")
	}
	s := openSite(t).fill()
	tab := s.open(light)
	s.goTo(tab, "queues") // the server counts what comes and goes in a minute from the first question on
	s.do(tab, "a while", chromedp.Sleep(10*time.Second))
	views := docViews
	if os.Getenv("HOLDFAST_PICTURES_ALL") != "" {
		all := openSite(t).fillForActs()
		for name, path := range all.everyPage() {
			for _, d := range []device{light, dark, phone} {
				all.take(view{name + "-" + d.name, path, d}, folder)
			}
		}
		empty := openSite(t)
		for name, path := range map[string]string{"home": "", "queues": "queues", "locks": "locks", "cache": "cache", "audit": "audit", "queue": "queue?q=mail"} {
			empty.take(view{"empty-" + name, path, light}, folder)
		}
		many := openSite(t)
		many.thousand()
		for name, path := range map[string]string{"home": "", "queues": "queues", "locks": "locks"} {
			many.take(view{"many-" + name, path, light}, folder)
		}
		gone := openSite(t)
		gone.server.Kill()
		gone.take(view{"dead-first", "", light}, folder)
	}
	for _, v := range views {
		s.take(v, folder)
	}
	if os.Getenv("HOLDFAST_PICTURES_ALL") != "" {
		tab := s.open(light)
		s.goTo(tab, "")
		s.shows(tab, "live")
		s.server.Kill()
		s.shows(tab, "has not answered")
		s.save(tab, filepath.Join(folder, "dead-home.png"))
	}
}

// take takes a picture in a tab of its own.
func (s *site) take(v view, folder string) {
	s.Helper()
	tab := s.open(v.device)
	defer tab.stop()
	s.goTo(tab, v.path)
	s.do(tab, v.file, chromedp.Sleep(300*time.Millisecond))
	s.save(tab, filepath.Join(folder, v.file+".png"))
}

// save writes a picture, packed well.
func (s *site) save(tab *tab, file string) {
	s.Helper()
	data, err := tab.picture()
	if err != nil {
		s.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		s.Fatal(err)
	}
	var packed bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&packed, picture); err != nil {
		s.Fatal(err)
	}
	if packed.Len() < len(data) {
		data = packed.Bytes()
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		s.Fatal(err)
	}
}

// thousand fills a server with many queues and locks.
func (s *site) thousand() {
	s.Helper()
	pipe := s.rdb.Pipeline()
	var some []cause
	for i := range 1000 {
		name := fmt.Sprintf("tenant-%04d", i)
		pipe.Do(s.Context(), "TASK.PUBLISH", name, payload(i))
		pipe.XGroupCreate(s.Context(), name, "workers", "0")
		if i%100 == 7 {
			some = append(some, cause{name, "quota of tenant exceeded", 5 + i/50, time.Hour})
		}
	}
	for i := range 2000 {
		pipe.Do(s.Context(), "LOCK.ACQUIRE", fmt.Sprintf("tenant-%04d:sync", i), "web-1", 600_000)
	}
	bury(s.Context(), pipe, some, time.Now())
	if _, err := pipe.Exec(s.Context()); err != nil {
		s.Fatal(err)
	}
}
