package dispatch

import (
	"bytes"
	"slices"
	"strconv"
)

// A held task waits in a sorted set whose scores are all 0, so that it is in the order of its
// members' bytes. A member begins with the task's key as a netstring, so the tasks of a key
// stand together, then says where among them the task stands, and holds the fields of the
// entry to be as the member of a delayed task does:
//
//	8:tenant-7,1-1789999999000001 7:payload,5:hello,…
//
// The number is a serial that grows. A task that is tried again before the others of its key
// has a 0 instead of the 1, and may have a time before which it is not tried:
//
//	8:tenant-7,0-1789999999000002-1790000000123 7:payload,5:hello,…

// Held is the head of the member of a held task.
type Held struct {
	Key    []byte
	Front  bool
	Serial int64
	Due    int64 // 0: at once
}

// Append writes the head. AppendField adds the fields behind it.
func (h Held) Append(b []byte) []byte {
	b = h.appendPlace(b)
	if h.Due > 0 {
		b = append(b, '-')
		b = strconv.AppendInt(b, h.Due, 10)
	}
	return append(b, ' ')
}

func (h Held) appendPlace(b []byte) []byte {
	b = AppendField(b, h.Key)
	if h.Front {
		b = append(b, "0-"...)
	} else {
		b = append(b, "1-"...)
	}
	return strconv.AppendInt(b, h.Serial, 10)
}

// Range writes the bounds of the member as ZRANGEBYLEX takes them. The serials have 16
// digits until the year 2286.
func (h Held) Range(b []byte) (from, to []byte) {
	from = h.appendPlace(append(b, '['))
	h.Serial++
	return from, h.appendPlace([]byte{'('})
}

// HeldRange writes the bounds of all members of a key as ZRANGEBYLEX takes them.
func HeldRange(b, key []byte) (from, to []byte) {
	from = AppendField(append(b, '['), key)
	to = bytes.Clone(from)
	to[0], to[len(to)-1] = '(', ','+1
	return from, to
}

// AfterHeld writes where the members behind those of a key begin, as ZRANGEBYLEX takes it.
// Nil is the key before all.
func AfterHeld(b, key []byte) []byte {
	if key == nil {
		return append(b, '-')
	}
	b = AppendField(append(b, '['), key)
	b[len(b)-1]++
	return b
}

// ParseHeld takes a member apart as ParseDelayed does.
func ParseHeld(member []byte, fields [][]byte) (h Held, all [][]byte, ok bool) {
	rest := member
	if h.Key, rest, ok = cutField(rest); !ok || len(rest) < 3 || rest[1] != '-' || rest[0] != '0' && rest[0] != '1' {
		return h, fields, false
	}
	h.Front = rest[0] == '0'
	place, rest, ok := bytes.Cut(rest[2:], []byte{' '})
	serial, due, timed := bytes.Cut(place, []byte{'-'})
	n, digits := parseUint(serial)
	if !ok || !digits || n > 1<<62 {
		return h, fields, false
	}
	h.Serial = int64(n)
	if timed {
		if n, ok = parseUint(due); !ok || n > 1<<53 {
			return h, fields, false
		}
		h.Due = int64(n)
	}
	if all, ok = parseFields(rest, fields); !ok {
		return h, fields, false
	}
	return h, all, true
}

const heldPrefix = "held-"

// AppendID writes the id of the task: the prefix, its serial and its key. What is no
// printable ASCII stands as %XX in it.
func (h Held) AppendID(b []byte) []byte {
	b = append(slices.Grow(b, len(heldPrefix)+17+len(h.Key)), heldPrefix...)
	b = append(strconv.AppendInt(b, h.Serial, 10), '-')
	for _, c := range h.Key {
		if c <= ' ' || c >= 0x7f || c == '%' {
			const hex = "0123456789ABCDEF"
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// HeldOf reads the key and the serial from the id of a held task; ok is false when it is none.
func HeldOf(id []byte) (h Held, ok bool) {
	rest, ok := bytes.CutPrefix(id, []byte(heldPrefix))
	serial, key, both := bytes.Cut(rest, []byte{'-'})
	n, digits := parseUint(serial)
	if !ok || !both || !digits || n > 1<<62 {
		return h, false
	}
	h.Serial = int64(n)
	h.Key = make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c == '%' {
			if i+2 >= len(key) {
				return h, false
			}
			n, err := strconv.ParseUint(string(key[i+1:i+3]), 16, 8)
			if err != nil {
				return h, false
			}
			c, i = byte(n), i+2
		}
		h.Key = append(h.Key, c)
	}
	return h, len(h.Key) > 0
}
