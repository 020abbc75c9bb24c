// Package where reads what people write to choose tasks, in the tool and on the pages: times,
// durations, and filters such as
//
//	error~timeout since:2h payload~"ann@" tries>2
package where

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/queue"
)

// Help says what a filter may be made of.
const Help = `error~TEXT  cause:CAUSE  payload~TEXT  kind:NAME  header.NAME:VALUE  tries>N  since:2h  until:10m
CAUSE is what errors have in common, as "queue peek --dead --group-by error" prints it.
TEXT is part of the error or payload, quoted where it has spaces; since and until are how
long ago, or a time such as 2026-11-29T10:00Z. Several terms must all hold.`

// Parse reads a filter. The empty text is the filter that matches all.
func Parse(text string, now time.Time) (queue.Filter, error) {
	var f queue.Filter
	terms, err := split(text)
	if err != nil {
		return f, err
	}
	for _, term := range terms {
		if err := add(&f, term, now); err != nil {
			return f, err
		}
	}
	return f, nil
}

// Term writes a term that Parse reads, such as cause:"no such user".
func Term(name, value string) string {
	return name + ":\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

func add(f *queue.Filter, term string, now time.Time) (err error) {
	at := strings.IndexAny(term, "~:=>")
	if at <= 0 || at == len(term)-1 {
		return fmt.Errorf("%q is no term of a filter: error~timeout, payload~\"ann@\", tries>2, since:2h", term)
	}
	name, op, value := strings.ToLower(term[:at]), term[at], term[at+1:]
	switch {
	case name == "error" && op != '>':
		f.Error = value
	case name == "cause" && (op == ':' || op == '='):
		f.Cause = value
	case name == "payload" && op != '>':
		f.Payload = value
	case name == "kind" && (op == ':' || op == '='):
		f.Kind = value
	case strings.HasPrefix(name, "header.") && (op == ':' || op == '='):
		if f.Headers == nil {
			f.Headers = queue.Headers{}
		}
		f.Headers[term[len("header."):at]] = value
	case name == "tries" && op == '>':
		least := 1
		if rest, ok := strings.CutPrefix(value, "="); ok {
			value, least = rest, 0
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%q: tries>2 or tries>=2", term)
		}
		f.MinTries = n + least
	case name == "since" && (op == ':' || op == '='):
		f.From, err = ParseTime(value, now)
	case name == "until" && (op == ':' || op == '='):
		f.To, err = ParseTime(value, now)
	default:
		return fmt.Errorf("%q is no term of a filter: error, cause, payload, kind, header.NAME, tries, since, until", term)
	}
	return err
}

// split cuts at spaces outside of quotes, and takes the quotes away.
func split(text string) (terms []string, err error) {
	var term strings.Builder
	quoted, any := false, false
	flush := func() {
		if any {
			terms = append(terms, term.String())
		}
		term.Reset()
		any = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted && i+1 < len(text):
			i++
			term.WriteByte(text[i])
		case c == '"':
			quoted, any = !quoted, true
		case (c == ' ' || c == '\t' || c == '\n') && !quoted:
			flush()
		default:
			term.WriteByte(c)
			any = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote in %q has no end", text)
	}
	flush()
	return terms, nil
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
	return time.Time{}, fmt.Errorf("%q is no time: 1h, 2d, 2026-11-29 or 2026-11-29T10:00Z", s)
}

// ParseDuration is time.ParseDuration with days, and without negative ones.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration: 500ms, 30s, 5m, 1h30m, 2d", s)
	}
	return d, nil
}
