package where

import (
	"reflect"
	"testing"
	"time"

	"holdfast/queue"
)

func TestAFilterMeansWhatItSays(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]queue.Filter{
		"":                             {},
		"  ":                           {},
		"error~timeout":                {Error: "timeout"},
		"error:timeout":                {Error: "timeout"},
		`error~"dial tcp" tries>2`:     {Error: "dial tcp", MinTries: 3},
		`cause:"dial tcp #: refused"`:  {Cause: "dial tcp #: refused"},
		Term("cause", `a "…" \ b`):     {Cause: `a "…" \ b`},
		"tries>=2":                     {MinTries: 2},
		`payload~"a \"b\" c"`:          {Payload: `a "b" c`},
		"kind:mail header.Trace-Id:7":  {Kind: "mail", Headers: queue.Headers{"Trace-Id": "7"}},
		"since:2h until:30m":           {From: now.Add(-2 * time.Hour), To: now.Add(-30 * time.Minute)},
		"since:2d":                     {From: now.Add(-48 * time.Hour)},
		"since:2026-11-29T10:00Z":      {From: time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)},
		"payload~https://x.example/?a": {Payload: "https://x.example/?a"},
	} {
		got, err := Parse(text, now)
		got.From, got.To = got.From.UTC(), got.To.UTC()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestWhatIsNoFilterIsRefused(t *testing.T) {
	for _, text := range []string{"timeout", "error~", "~x", "tries>x", "tries:2", "since:yesterday", "size>3", `error~"x`, "error>3", "since:-2h"} {
		if f, err := Parse(text, time.Now()); err == nil {
			t.Errorf("%s: %+v", text, f)
		}
	}
}
