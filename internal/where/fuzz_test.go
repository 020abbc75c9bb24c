package where

import (
	"testing"
	"time"
)

// A filter is refused or read, and times that lie back do so.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`error~timeout since:2h payload~"ann@" tries>2`, "until:9999999999d", "since:106752d", `header.a:"b c"`, `"`, "tries>=0", "since:2026-11-29"} {
		f.Add(text)
	}
	now := time.Unix(1_790_000_000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text, now)
		if err == nil && got.MinTries < 0 {
			t.Errorf("%q: %+v", text, got)
		}
	})
}

func TestSoManyDaysAgoIsAlwaysBefore(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for _, text := range []string{"since:1d", "since:99999d", "since:106752d", "since:213504d", "since:9223372036854775807d"} {
		if f, err := Parse(text, now); err == nil && !f.From.Before(now) {
			t.Errorf("%s is read as %v", text, f.From)
		}
	}
}
