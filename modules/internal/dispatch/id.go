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
	ms, seq, both := bytes.Cut(b, []byte{'-'})
	var id ID
	var ok bool
	if id.Ms, ok = parseUint(ms); !ok {
		return ID{}, false
	}
	if both {
		if id.Seq, ok = parseUint(seq); !ok {
			return ID{}, false
		}
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
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
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
