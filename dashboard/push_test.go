package dashboard_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/dashboard"
)

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

func TestASilentServerIsSaidWithTheTimeOfTheFigures(t *testing.T) {
	s := open(t, dashboard.Options{})
	s.do("LOCK.ACQUIRE", "nightly", "ann", 600000)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	next := s.listen(ctx, "lock?name=nightly")
	next("main")
	s.server.Kill()
	if said := next("lost"); !regexp.MustCompile(`^The server has not answered since \d\d:\d\d:\d\d\. The figures are from then\.\n$`).MatchString(said) {
		t.Error(said)
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
