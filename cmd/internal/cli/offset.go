package cli

import (
	"strconv"
	"strings"
	"time"

	"holdfast/internal/where"
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

// ParseTime is where.ParseTime whose error is one of usage.
func ParseTime(s string, now time.Time) (time.Time, error) {
	t, err := where.ParseTime(s, now)
	if err != nil {
		err = Usage("%v", err)
	}
	return t, err
}

// ParseDuration is where.ParseDuration whose error is one of usage.
func ParseDuration(s string) (time.Duration, error) {
	d, err := where.ParseDuration(s)
	if err != nil {
		err = Usage("%v", err)
	}
	return d, err
}
