package dispatch

import (
	"bytes"
	"strconv"
)

const delayedPrefix = "delayed-"

// A delayed task waits in a sorted set, its score the time it is due. Its member
// holds all of it: the task's id, a space, and the fields of the entry to be,
// each as a netstring:
//
//	delayed-1790000000123-1789999999000001 7:payload,5:hello,9:timestamp,10:1790000000,…
//
// The id begins with the due time, so that a task is found by its id, and goes
// on with a serial that grows, so that tasks due together leave as they came.

// AppendDelayedID writes the id of a delayed task. The serial has 16 digits
// until the year 2286: ids of the same due time sort as text.
func AppendDelayedID(b []byte, due, serial int64) []byte {
	b = append(b, delayedPrefix...)
	b = strconv.AppendInt(b, due, 10)
	b = append(b, '-')
	return strconv.AppendInt(b, serial, 10)
}

// DueOf is the due time in the id of a delayed task; ok is false when it is none.
func DueOf(id []byte) (due int64, ok bool) {
	rest, ok := bytes.CutPrefix(id, []byte(delayedPrefix))
	if !ok {
		return 0, false
	}
	at, serial, ok := bytes.Cut(rest, []byte{'-'})
	if !ok {
		return 0, false
	}
	n, ok := parseUint(at)
	if _, digits := parseUint(serial); !ok || !digits || n > 1<<53 {
		return 0, false
	}
	return int64(n), true
}

// AppendField adds one field name or value to the member of a delayed task.
func AppendField(b, field []byte) []byte {
	b = strconv.AppendInt(b, int64(len(field)), 10)
	b = append(b, ':')
	b = append(b, field...)
	return append(b, ',')
}

// ParseDelayed takes a member apart, adding the entry's field names and values
// to fields in turn; they are views into member. ok is false when the member was
// not written here.
func ParseDelayed(member []byte, fields [][]byte) (id []byte, all [][]byte, ok bool) {
	id, rest, ok := bytes.Cut(member, []byte{' '})
	if _, is := DueOf(id); !ok || !is {
		return nil, fields, false
	}
	if all, ok = parseFields(rest, fields); !ok {
		return nil, fields, false
	}
	return id, all, true
}

// parseFields reads the field names and values at the end of a member.
func parseFields(rest []byte, fields [][]byte) (all [][]byte, ok bool) {
	all = fields
	for len(rest) > 0 {
		var field []byte
		if field, rest, ok = cutField(rest); !ok {
			return fields, false
		}
		all = append(all, field)
	}
	n := len(all) - len(fields)
	return all, n > 0 && n%2 == 0
}

// cutField reads what AppendField wrote.
func cutField(b []byte) (field, rest []byte, ok bool) {
	n, i := 0, 0
	for ; i < len(b) && i < 10 && b[i]-'0' <= 9; i++ {
		n = n*10 + int(b[i]-'0')
	}
	if i == 0 || i == len(b) || b[i] != ':' {
		return nil, b, false
	}
	text := b[i+1:]
	if n >= len(text) || text[n] != ',' {
		return nil, b, false
	}
	return text[:n], text[n+1:], true
}
