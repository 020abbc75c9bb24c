package dispatch_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"holdfast/modules/internal/dispatch"
)

func FuzzParseID(f *testing.F) {
	for _, text := range []string{"0-1", "5", "18446744073709551615-18446744073709551615", "18446744073709551616", "-", "1-", "01-02", "0-0", "00-1", "1-00", "10-0"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		id, ok := dispatch.ParseID(text)
		if !ok {
			return
		}
		if again, ok := dispatch.ParseID([]byte(id.String())); !ok || again != id {
			t.Errorf("%q is read as %v, and that as %v", text, id, again)
		}
		if full := string(text) == id.String(); dispatch.IsFull(text) != full {
			t.Errorf("%q is said to be written in full: %v", text, !full)
		}
	})
}

// A history stays JSON of at most ten tries, whatever stood in the field before and whatever
// the error says.
func FuzzHistory(f *testing.F) {
	f.Add([]byte(`[{"at":1,"id":"1-0","consumer":"a","error":"b"}]`), "1-0", "w", "no \"route\"\n\xff")
	f.Add([]byte(`[{},{},{},{},{},{},{},{},{},{},{},{}]`), "", "", "")
	f.Add([]byte(`[{"a":"}"}`), "", "", "")
	f.Fuzz(func(t *testing.T, before []byte, id, consumer, failure string) {
		once := dispatch.AppendTry(nil, before, 1, id, consumer, failure)
		if json.Valid(before) != json.Valid(once) && json.Valid(before) {
			t.Errorf("%q becomes %q", before, once)
		}
		own := dispatch.AppendTry(nil, nil, 1, id, consumer, failure)
		for range 12 {
			own = dispatch.AppendTry(nil, own, 2, id, consumer, failure)
		}
		var tries []struct {
			At int64 `json:"at"`
		}
		if err := json.Unmarshal(own, &tries); err != nil || len(tries) != 10 {
			t.Errorf("a history of 13 tries is %q: %v", own, err)
		}
	})
}

// No two streams, kinds and unique ids make one key, and a side key tells its stream.
func FuzzSideKeys(f *testing.F) {
	f.Add([]byte("mail"), []byte("a:b"), []byte("mail:a"), []byte("b"))
	f.Add([]byte("{eu}mail"), []byte(":x"), []byte("{eu}mail:"), []byte("x"))
	f.Add([]byte("a"), []byte("%3A"), []byte("a"), []byte("::"))
	f.Fuzz(func(t *testing.T, stream, unique, otherStream, otherUnique []byte) {
		key, ok := dispatch.AppendSideKey(nil, stream, "delayed")
		if !ok {
			return
		}
		if back, ok := dispatch.StreamOf(key, "delayed"); !ok || !bytes.Equal(back, stream) {
			t.Errorf("%q is said to belong to %q, not %q", key, back, stream)
		}
		if bytes.Equal(stream, otherStream) && bytes.Equal(unique, otherUnique) {
			return
		}
		a, _ := dispatch.AppendUniqueKey(nil, stream, unique)
		if b, ok := dispatch.AppendUniqueKey(nil, otherStream, otherUnique); ok && bytes.Equal(a, b) {
			t.Errorf("%q of %q and %q of %q share %q", unique, stream, otherUnique, otherStream, a)
		}
	})
}
