package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// heldSet names the sorted set of a stream's held tasks.
func heldSet(stream string) string { return sideKey(stream, "held") }

// heldOf takes a member of a set of held tasks apart: the key as a netstring, a digit, a
// serial number that is a time in microseconds, perhaps a due time, a space, and the fields of
// the entry to be as netstrings.
func heldOf(member string) (id string, since, due time.Time, fields []any, ok bool) {
	key, rest, ok := cutNetstring(member)
	if !ok || len(rest) < 3 {
		return "", since, due, nil, false
	}
	place, rest, ok := strings.Cut(rest[2:], " ")
	serial, until, timed := strings.Cut(place, "-")
	us, err := strconv.ParseInt(serial, 10, 64)
	if !ok || err != nil {
		return "", since, due, nil, false
	}
	if ms, err := strconv.ParseInt(until, 10, 64); timed && err == nil {
		due = time.UnixMilli(ms)
	}
	if fields, ok = netstrings(rest); !ok {
		return "", since, due, nil, false
	}
	return "held-" + serial + "-" + escapeKey(key), time.UnixMicro(us), due, fields, true
}

// escapeKey writes a key as it stands in the id of a held task.
func escapeKey(key string) string {
	var b strings.Builder
	for n := range len(key) {
		if c := key[n]; c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func netstrings(text string) (fields []any, ok bool) {
	for len(text) > 0 {
		var field string
		if field, text, ok = cutNetstring(text); !ok {
			return nil, false
		}
		fields = append(fields, field)
	}
	return fields, true
}

func cutNetstring(text string) (field, rest string, ok bool) {
	size, text, ok := strings.Cut(text, ":")
	n, err := strconv.Atoi(size)
	if !ok || err != nil || n < 0 || n >= len(text) || text[n] != ',' {
		return "", "", false
	}
	return text[:n], text[n+1:], true
}

// heldRecord makes a record of a member of a set of held tasks.
func heldRecord(key, member string) Record {
	id, since, due, fields, ok := heldOf(member)
	if !ok {
		id, fields = member, []any{fieldPayload, member}
	}
	r := recordOf(Held, key, id, fields)
	r.Since, r.Due = since, due
	return r
}

// readHeld reads the sorted set of the held tasks, key by key. The cursor is how many were
// listed.
func readHeld(i *Inspector, ctx context.Context, p place, o ListOptions, from string) (tasks []Record, next string, err error) {
	skip, _ := strconv.Atoi(from)
	reply, err := i.conns.Send(ctx, "ZRANGE", p.key, skip, skip+o.Limit-1)
	if err != nil {
		return nil, "", err
	}
	list, _ := reply.([]any)
	for n, one := range list {
		member, _ := one.(string)
		r := heldRecord(p.key, member)
		if r.cursor = strconv.Itoa(skip + n + 1); (o.From.IsZero() || !r.Since.Before(o.From)) && (o.To.IsZero() || r.Since.Before(o.To)) {
			tasks = append(tasks, r)
		}
	}
	if len(list) == o.Limit {
		next = strconv.Itoa(skip + len(list))
	}
	return tasks, next, nil
}

// heldAt is the held task of an id; a zero record where there is none.
func (i *Inspector) heldAt(ctx context.Context, stream, id string) (Record, error) {
	serial, escaped, ok := strings.Cut(strings.TrimPrefix(id, "held-"), "-")
	n, err := strconv.ParseInt(serial, 10, 64)
	if !ok || err != nil {
		return Record{}, nil
	}
	key := unescapeKey(escaped)
	for _, digit := range []string{"1", "0"} {
		head := fmt.Sprintf("%d:%s,%s-", len(key), key, digit)
		reply, err := i.conns.Send(ctx, "ZRANGEBYLEX", heldSet(stream), "["+head+serial, fmt.Sprint("(", head, n+1), "LIMIT", 0, 1)
		if err != nil {
			return Record{}, err
		}
		if list, _ := reply.([]any); len(list) == 1 {
			member, _ := list[0].(string)
			return heldRecord(heldSet(stream), member), nil
		}
	}
	return Record{}, nil
}

func unescapeKey(text string) string {
	var b strings.Builder
	for n := 0; n < len(text); n++ {
		if text[n] == '%' && n+2 < len(text) {
			if c, err := strconv.ParseUint(text[n+1:n+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				n += 2
				continue
			}
		}
		b.WriteByte(text[n])
	}
	return b.String()
}
