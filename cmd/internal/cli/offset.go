package cli

import (
	"strconv"
	"strings"
	"time"
)

// Offset is a place in a queue. Ids of entries are times, so a time is a place.
type Offset struct {
	ID   string // an id, "-" for the start or "+" for the end; "" where Last says it
	Last int    // so many from the end
}

// ParseOffset reads start, end, an entry's id, -100 (so many from the end), @1h (so long ago) or
// @2026-11-29T10:00Z.
func ParseOffset(s string, now time.Time) (Offset, error) {
	switch {
	case s == "" || s == "start":
		return Offset{ID: "-"}, nil
	case s == "end":
		return Offset{ID: "+"}, nil
	case strings.HasPrefix(s, "@"):
		at, err := ParseTime(s[1:], now)
		return Offset{ID: strconv.FormatInt(at.UnixMilli(), 10)}, err
	case strings.HasPrefix(s, "-"):
		if n, err := strconv.Atoi(s[1:]); err == nil && n > 0 {
			return Offset{Last: n}, nil
		}
	case isID(s):
		return Offset{ID: s}, nil
	}
	return Offset{}, Usage("%q is no place in a queue: start, end, an id, -100, @1h or @2026-11-29T10:00Z", s)
}

func isID(s string) bool {
	ms, seq, both := strings.Cut(s, "-")
	_, err := strconv.ParseUint(ms, 10, 64)
	if err == nil && both {
		_, err = strconv.ParseUint(seq, 10, 64)
	}
	return err == nil
}

// ParseTime reads how long ago (90s, 1h30m, 2d) or a time as RFC 3339 has it, of which seconds,
// the time of day and the zone (then the local one) may be missing.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if d, err := ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, Usage("%q is no time: 1h, 2d, 2026-11-29 or 2026-11-29T10:00Z", s)
}

// ParseDuration is time.ParseDuration with days.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, Usage("%q is no duration: 500ms, 30s, 5m, 1h30m, 2d", s)
	}
	return d, nil
}
