package queue

import (
	"testing"
	"time"
)

// Every schedule is refused or has a next time, later than the one before, and is the same
// when it is read from its own text.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{
		"* * * * *", "*/15 0-23/2 1,15 jan-mar mon-fri", "0 0 29 2 *", "@daily", "@every 90s", "TZ=Europe/Berlin 30 2 * * *", "CRON_TZ=UTC 0 0 * * 7",
		"5/9223372036854775807 * * * *", "*/9223372036854775807 * * * *", "0 0 1 --- *", "0 0 31 2 *", "@every 9223372036854ms", "0 0 * * sun,mon",
	} {
		f.Add(text, int64(1_790_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := ParseSchedule(text, time.UTC)
		if err != nil {
			return
		}
		at := time.Unix(unix%(1<<33), 0)
		for range 3 {
			next := s.Next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: after %v comes %v", text, at, next)
			}
			at = next
		}
	})
}

// Names that people write make keys that no other names make.
func FuzzNames(f *testing.F) {
	f.Add("mail", "workers", "mail", "eu:workers")
	f.Add("{eu}mail", "a", "eu", "b")
	f.Add("mail", "dead", "{mail}:dead", "x")
	f.Fuzz(func(t *testing.T, queue, group, otherQueue, otherGroup string) {
		for _, q := range []string{queue, otherQueue} {
			if _, err := streamsOf(q, 1); err != nil {
				return
			}
		}
		if group == "" || otherGroup == "" || queue == otherQueue && group == otherGroup {
			return
		}
		for _, key := range []func(stream, group string) string{DeadStream, RetryStream} {
			if a, b := key(queue, group), key(otherQueue, otherGroup); a == b {
				t.Errorf("%q of %q and %q of %q share %q", group, queue, otherGroup, otherQueue, a)
			}
		}
	})
}

func FuzzHistory(f *testing.F) {
	f.Add(`[{"at":1790000000123,"id":"1-0","consumer":"w","error":"no"}]`)
	f.Add(`[{"at":1e400}]`)
	f.Fuzz(func(_ *testing.T, text string) { historyOf(text) })
}
