package queue

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// FailureReport are the errors of a window of dead letters, or of tasks to be retried,
// grouped by what they say.
type FailureReport struct {
	Groups []FailureGroup `json:"groups"`           // the most frequent first
	Looked int            `json:"looked"`           // how many tasks were looked at
	Cursor string         `json:"cursor,omitempty"` // where to go on; empty when all were looked at
}

// FailureGroup are the tasks whose errors are the same but for numbers, ids, addresses
// and quoted words.
type FailureGroup struct {
	Error   string    `json:"error"` // as [NormalizeError] writes it
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Entries []string  `json:"entries"` // of all these tasks, for Redrive and Discard
	Group   string    `json:"group,omitempty"`
	Sample  []Record  `json:"sample"`  // the newest, five at most
	Buckets []int     `json:"buckets"` // how many in each of 24 equal spans between the report's first and last task
}

const (
	sampleSize  = 5
	bucketCount = 24
)

// Failures groups the dead letters of a window by their errors; with State set to Delayed
// or Ready, the tasks that failed and are to be tried again. Limit is ignored; Keep is called
// for the samples.
func (i *Inspector) Failures(ctx context.Context, stream string, o SearchOptions) (report FailureReport, err error) {
	if o.State == "" {
		o.State = Dead
	}
	type name struct{ group, text string }
	type group struct {
		FailureGroup
		times  []time.Time
		sample []Record
	}
	groups := map[name]*group{}
	var first, last time.Time
	report.Cursor, err = i.each(ctx, stream, o, func(r *Record) bool {
		report.Looked++
		if !o.Filter.Match(r) || r.Error == "" && o.State != Dead {
			return true
		}
		n := name{r.Group, NormalizeError(r.Error)}
		g := groups[n]
		if g == nil {
			g = &group{FailureGroup: FailureGroup{Error: n.text, Group: n.group, First: r.Since, Last: r.Since}}
			groups[n] = g
		}
		g.Count++
		g.Entries = append(g.Entries, r.Entry)
		g.First, g.Last = earlier(g.First, r.Since), later(g.Last, r.Since)
		first, last = earlier(first, r.Since), later(last, r.Since)
		g.times = append(g.times, r.Since)
		switch {
		case len(g.sample) < sampleSize:
			g.sample = append(g.sample, o.keep(r))
		case !o.Newest: // the oldest of the sample goes
			g.sample[(g.Count-1)%sampleSize] = o.keep(r)
		}
		return true
	})
	span := last.Sub(first)/bucketCount + 1
	for _, g := range groups {
		g.Sample, g.Buckets = g.sample, make([]int, bucketCount)
		slices.SortFunc(g.Sample, func(a, b Record) int { return b.Since.Compare(a.Since) })
		for _, at := range g.times {
			if !at.IsZero() {
				g.Buckets[min(int(at.Sub(first)/span), bucketCount-1)]++
			}
		}
		report.Groups = append(report.Groups, g.FailureGroup)
	}
	slices.SortFunc(report.Groups, func(a, b FailureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Error, b.Error), strings.Compare(a.Group, b.Group))
	})
	return report, err
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// normalLimit is how much of an error tells it from others, in bytes.
const normalLimit = 200

// NormalizeError makes errors of one cause the same text: it keeps the first line, and
// puts # for numbers, ids and addresses, and … for quoted words.
func NormalizeError(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > normalLimit {
		text = strings.ToValidUTF8(text[:normalLimit], "")
	}
	var b strings.Builder
	b.Grow(len(text))
	for k := 0; k < len(text); {
		c := text[k]
		if c == '"' || c == '\'' || c == '`' {
			// A quote that closes and does not stand inside a word.
			if end := strings.IndexByte(text[k+1:], c); end >= 0 && (k == 0 || !isWord(text[k-1])) {
				b.WriteByte(c)
				b.WriteString("…")
				b.WriteByte(c)
				k += end + 2
				continue
			}
		}
		if !isWord(c) {
			b.WriteByte(c)
			k++
			continue
		}
		from := k
		variable := false
		for k < len(text) && (isWord(text[k]) || isJoint(text, k)) {
			variable = variable || text[k] >= '0' && text[k] <= '9' || text[k] == '@'
			k++
		}
		if variable {
			b.WriteByte('#')
		} else {
			b.WriteString(text[from:k])
		}
	}
	return b.String()
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// isJoint tells whether the character joins two parts of one address, number or id.
func isJoint(text string, k int) bool {
	switch text[k] {
	case '.', ':', '-', '@', '+', '/':
		return k+1 < len(text) && isWord(text[k+1])
	}
	return false
}
