package cli

import (
	"testing"
	"time"
)

func FuzzOffset(f *testing.F) {
	for _, text := range []string{"start", "end", "-100", "@1h", "@2d", "@2026-11-29T10:00Z", "1790000000000-1", "-9223372036854775808", "@99999d", "@nand", "@1e99d"} {
		f.Add(text)
	}
	now := time.Unix(1_790_000_000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		if o, err := ParseOffset(text, now); err == nil && (o.ID == "") == (o.Last <= 0) {
			t.Errorf("%q is read as %+v", text, o)
		}
		if d, err := ParseDuration(text); err == nil && d < 0 {
			t.Errorf("%q is read as %v", text, d)
		}
	})
}
