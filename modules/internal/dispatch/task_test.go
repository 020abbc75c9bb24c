package dispatch_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/slot"
	"holdfast/modules/internal/dispatch"
)

func TestADelayedTaskComesBackAsItWasPutAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		due := rapid.Int64Range(0, 1<<53).Draw(t, "due")
		fields := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 2, 10).Draw(t, "fields")
		if len(fields)%2 == 1 {
			fields = fields[1:]
		}
		id := dispatch.AppendDelayedID(nil, due, 1789999999000001)
		member := append(slices.Clone(id), ' ')
		for _, f := range fields {
			member = dispatch.AppendField(member, f)
		}
		gotID, got, ok := dispatch.ParseDelayed(member, nil)
		if !ok || !bytes.Equal(gotID, id) || !slices.EqualFunc(got, fields, bytes.Equal) {
			t.Fatalf("%q was read as %q %q (%v)", member, gotID, got, ok)
		}
		if at, ok := dispatch.DueOf(gotID); !ok || at != due {
			t.Fatalf("due %d (%v), want %d", at, ok, due)
		}
	})
}

// What an operator put into the set by hand is not taken for something else.
func TestWhatIsNoDelayedTaskIsSaidToBeNone(t *testing.T) {
	for _, member := range []string{"", "hello", "delayed-", "delayed-1-2", "delayed-1-2 ", "delayed-1-2 hello", "delayed-1-2 5:hello",
		"delayed-1-2 6:hello,", "delayed-1-2 4:hello,", "delayed-1-2 5:hello,", "delayed-1-2 5:hello,5:hello,x", "delayed-x-2 1:a,1:b,", "delayed-1-x 1:a,1:b,",
		"delayed-1-2 99999999999999999999:a,1:b,", "delayed-99999999999999999999-2 1:a,1:b,"} {
		if id, fields, ok := dispatch.ParseDelayed([]byte(member), nil); ok {
			t.Errorf("%q was read as %q %q", member, id, fields)
		}
	}
}

func FuzzParseDelayed(f *testing.F) {
	f.Add([]byte("delayed-1-2 5:hello,1:x,"))
	f.Fuzz(func(t *testing.T, member []byte) {
		id, fields, ok := dispatch.ParseDelayed(member, nil)
		if !ok {
			return
		}
		for _, field := range fields {
			if !bytes.Contains(member[len(id):], field) {
				t.Fatalf("%q is not in %q", field, member)
			}
		}
	})
}

func TestTasksDueTogetherSortAsTheyCame(t *testing.T) {
	a := dispatch.AppendDelayedID(nil, 5, 1789999999000001)
	b := dispatch.AppendDelayedID(nil, 5, 1789999999000002)
	if bytes.Compare(a, b) >= 0 {
		t.Fatalf("%s does not sort before %s", a, b)
	}
}

func TestARetryWaitsSpreadUpToItsCeiling(t *testing.T) {
	for _, c := range []struct {
		base, limit, retries int64
		random               uint64
		want                 int64
	}{
		{100, 60_000, 0, 0, 0},
		{100, 60_000, 0, math.MaxUint64, 100},
		{100, 60_000, 3, math.MaxUint64, 800},
		{100, 60_000, 3, math.MaxUint64 / 2, 400},
		{100, 60_000, 20, math.MaxUint64, 60_000},
		{100, 60_000, math.MaxInt64, math.MaxUint64, 60_000},
		{1, math.MaxInt64 - 1, 61, math.MaxUint64, 1 << 61},
		{1 << 60, math.MaxInt64 - 1, 7, math.MaxUint64, math.MaxInt64 - 1},
	} {
		if got := dispatch.Backoff(c.base, c.limit, c.retries, c.random); got != c.want {
			t.Errorf("Backoff(%d, %d, %d, %x) = %d, want %d", c.base, c.limit, c.retries, c.random, got, c.want)
		}
	}
}

func TestSideKeysShareTheSlotAndNeverMeet(t *testing.T) {
	for stream, want := range map[string]string{
		"mail": "{mail}:delayed", "{eu}mail": "{eu}mail::delayed", "{mail}": "{mail}::delayed", "a{b": "{a{b}:delayed",
		"a}b": "", "{}x": "", "": "", "}": "", "a{}b{c}": "",
	} {
		got, ok := dispatch.AppendSideKey(nil, []byte(stream), "delayed")
		if ok != (want != "") || ok && string(got) != want {
			t.Errorf("the delayed set of %q is %q (%v), want %q", stream, got, ok, want)
		}
	}
	names := rapid.SliceOf(rapid.SampledFrom([]byte("a{}:")))
	rapid.Check(t, func(t *rapid.T) {
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		ka, ok := dispatch.AppendSideKey(nil, a, "delayed")
		if !ok {
			return
		}
		if !slot.Same(a, ka) {
			t.Fatalf("%q and %q are in different slots", a, ka)
		}
		if back, ok := dispatch.StreamOf(ka, "delayed"); !ok || !bytes.Equal(back, a) {
			t.Fatalf("%q is said to belong to %q (%v), not %q", ka, back, ok, a)
		}
		if kb, ok := dispatch.AppendSideKey(nil, b, "delayed"); ok && !bytes.Equal(a, b) && bytes.Equal(ka, kb) {
			t.Fatalf("%q and %q share %q", a, b, ka)
		}
	})
	if _, ok := dispatch.StreamOf([]byte("mail:delayed"), "delayed"); ok {
		t.Error("a key of someone else is taken for a side key")
	}
}

func TestIDsAreReadAsStreamsWriteThem(t *testing.T) {
	for text, want := range map[string]string{"0-1": "0-1", "5": "5-0", "1790000000000-12": "1790000000000-12",
		"18446744073709551615-18446744073709551615": "18446744073709551615-18446744073709551615",
		"": "", "-": "", "5-": "", "x-1": "", "1-x": "", "1-2-3": "", "18446744073709551616-0": "", "+1-0": ""} {
		id, ok := dispatch.ParseID([]byte(text))
		if ok != (want != "") || ok && id.String() != want {
			t.Errorf("%q was read as %v (%v), want %q", text, id, ok, want)
		}
	}
	ids := []dispatch.ID{{1, 2}, {1, 1}, {0, 9}}
	slices.SortFunc(ids, dispatch.ID.Compare)
	if diff := cmp.Diff([]dispatch.ID{{0, 9}, {1, 1}, {1, 2}}, ids); diff != "" {
		t.Error(diff)
	}
}
