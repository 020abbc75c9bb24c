package locktable_test

import (
	"bytes"
	"testing"

	"holdfast/modules/internal/locktable"
)

// A record that is read is one that was written, byte for byte: nothing else is taken for a
// lock.
func FuzzRecord(f *testing.F) {
	for _, field := range []string{
		"exclusive 1790000000000000 1790000000000 1790000030000 -", "shared 1 0 1 session", "limit:3 1 2 3 - host=a pid=7",
		"limit:1 1 2 3 -", "exclusive 01 2 3 -", "exclusive 1 2 3 - ", "exclusive 9999999999999999999 1 2 -", "",
	} {
		f.Add([]byte(field))
	}
	f.Fuzz(func(t *testing.T, field []byte) {
		if r, ok := locktable.ParseRecord(field); ok {
			if back := r.Append(nil); !bytes.Equal(back, field) {
				t.Errorf("%q is read as %+v, which is written %q", field, r, back)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	for _, value := range []string{"exclusive 1790000000000000 1790000000000 web-1", "exclusive 1 2 ", "exclusive 1 2", "shared 1 2 a", "exclusive 1 2 a b"} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if r, owner, ok := locktable.ParseText(value); ok {
			if back := r.AppendText(nil, owner); !bytes.Equal(back, value) {
				t.Errorf("%q is read as %+v of %q, which is written %q", value, r, owner, back)
			}
		}
	})
}
