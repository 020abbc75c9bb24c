package queue

import (
	"strconv"
	"strings"
	"time"
)

// timeOf is when the entry of an id was added; the zero time for what is no stream id.
func timeOf(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// dueOf is the due time in the id of a delayed task, in milliseconds.
func dueOf(id string) (due int64, ok bool) {
	rest, ok := strings.CutPrefix(id, "delayed-")
	if !ok {
		return 0, false
	}
	ms, _, ok := strings.Cut(rest, "-")
	due, err := strconv.ParseInt(ms, 10, 64)
	return due, ok && err == nil
}

// delayedOf takes a member of a set of delayed tasks apart: the id, a space, and the
// fields of the entry to be as netstrings. A member that somebody put there by hand is
// its task's payload, and its own id.
func delayedOf(member string) (id string, fields []any) {
	id, rest, ok := strings.Cut(member, " ")
	if _, is := dueOf(id); !ok || !is {
		return member, []any{fieldPayload, member}
	}
	for len(rest) > 0 {
		size, text, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || n < 0 || n >= len(text) || text[n] != ',' {
			return member, []any{fieldPayload, member}
		}
		fields = append(fields, text[:n])
		rest = text[n+1:]
	}
	return id, fields
}

// before is the greatest stream id below one.
func before(id string) string {
	ms, seq, _ := strings.Cut(id, "-")
	m, err := strconv.ParseUint(ms, 10, 64)
	if err != nil {
		return id
	}
	switch n, err := strconv.ParseUint(seq, 10, 64); {
	case err == nil && n > 0:
		return ms + "-" + strconv.FormatUint(n-1, 10)
	case m > 0:
		return strconv.FormatUint(m-1, 10) + "-18446744073709551615"
	}
	return "0-0"
}
