package dispatch

import (
	"bytes"
	"strconv"

	"holdfast/modules/internal/keyed"
)

// ID is the id of a stream entry.
type ID struct{ Ms, Seq uint64 }

// ParseID reads an id as streams write it, or as clients may: without the
// sequence it is 0.
func ParseID(b []byte) (ID, bool) {
	var id ID
	seq := true
	if i := bytes.IndexByte(b, '-'); i >= 0 {
		id.Seq, seq = parseUint(b[i+1:])
		b = b[:i]
	}
	var ms bool
	if id.Ms, ms = parseUint(b); !ms || !seq {
		return ID{}, false
	}
	return id, true
}

// parseUint is strconv.ParseUint without the string: ids are read on every
// delivery.
func parseUint(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || len(b) == 20 && n > (1<<64-1-d)/10 { // 19 digits fit always
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// IsFull reports whether an id is written as streams write it: with its sequence, and with
// no needless zeros.
func IsFull(b []byte) bool {
	i := bytes.IndexByte(b, '-')
	return i > 0 && i+1 < len(b) && (b[0] != '0' || i == 1) && (b[i+1] != '0' || len(b) == i+2)
}

// Append writes the id as streams do.
func (id ID) Append(b []byte) []byte {
	b = strconv.AppendUint(b, id.Ms, 10)
	b = append(b, '-')
	return strconv.AppendUint(b, id.Seq, 10)
}

func (id ID) String() string { return string(id.Append(nil)) }

// Compare is negative when id is before o, 0 when they are the same.
func (id ID) Compare(o ID) int {
	return keyed.ID(id).Compare(keyed.ID(o))
}
