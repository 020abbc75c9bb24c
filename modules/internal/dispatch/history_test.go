package dispatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

type try struct {
	At       int64  `json:"at"`
	ID       string `json:"id"`
	Consumer string `json:"consumer"`
	Error    string `json:"error"`
}

func triesOf(t interface{ Fatalf(string, ...any) }, history []byte) (all []try) {
	if err := json.Unmarshal(history, &all); err != nil {
		t.Fatalf("%s: %v", history, err)
	}
	return all
}

func TestAHistoryKeepsItsLastTenTriesInOrder(t *testing.T) {
	var h []byte
	for i := range 25 {
		h = AppendTry(nil, h, int64(i), fmt.Sprint(i, "-0"), fmt.Sprint("c", i), fmt.Sprint("error ", i))
		all := triesOf(t, h)
		if len(all) != min(i+1, 10) {
			t.Fatalf("%d tries after %d", len(all), i+1)
		}
		for k, got := range all {
			n := i + 1 - len(all) + k
			if want := (try{int64(n), fmt.Sprint(n, "-0"), fmt.Sprint("c", n), fmt.Sprint("error ", n)}); got != want {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	}
}

func TestAHistoryIsJSONWhateverWasSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h []byte
		var said []string
		for range rapid.IntRange(1, 12).Draw(t, "tries") {
			s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
				rapid.SampledFrom([]string{`"`, `\`, `}]`, `","error":"`, strings.Repeat("가", 400), strings.Repeat("\\", 600)})).Draw(t, "error")
			h = AppendTry(nil, h, 1, "1-0", s, s)
			said = append(said, s)
		}
		all := triesOf(t, h)
		said = said[len(said)-len(all):]
		for i, got := range all {
			if len(said[i]) <= errorMost && utf8.ValidString(said[i]) && got.Error != said[i] {
				t.Fatalf("%q came back as %q", said[i], got.Error)
			}
			if utf8.ValidString(said[i]) && (len(got.Error) > errorMost || !strings.HasPrefix(said[i], got.Error) || len(said[i]) > errorMost && len(got.Error) < errorMost-3) {
				t.Fatalf("%q was cut to %q", said[i], got.Error)
			}
		}
	})
}

func TestWhatIsNoHistoryIsDropped(t *testing.T) {
	for _, h := range []string{"", "x", "[", "{}", "[}", "[{]", `[{"a":"]`, "[1,2]", "[[{}]]", "[" + strings.Repeat("{},", 1<<15) + "{}]"} {
		if all := triesOf(t, AppendTry(nil, []byte(h), 7, "1-0", "c", "e")); len(all) != 1 || all[0].At != 7 {
			t.Errorf("behind %.20q: %+v", h, all)
		}
	}
}

// Unique ids and streams are glued into names of keys: no two pairs make one.
func TestNoTwoUniqueIdsMakeOneKey(t *testing.T) {
	stream := rapid.OneOf(rapid.SampledFrom([]string{"a", "{a}", "{a}:unique", "{a}:unique:x", "{a}::unique:x", "{eu}mail", "{eu}mail::unique:x"}), rapid.StringMatching(`(\{a\}|a)(:|u|nique|x|%){0,4}`))
	unique := rapid.OneOf(rapid.SampledFrom([]string{"x", "y", "x::unique:y", ":x", ":unique:y", "x%3A%3Aunique:y", "", "%", "%25"}), rapid.StringMatching(`(:|unique|x|%|3A|25){0,6}`))
	rapid.Check(t, func(t *rapid.T) {
		s1, s2, u1, u2 := stream.Draw(t, "s1"), stream.Draw(t, "s2"), unique.Draw(t, "u1"), unique.Draw(t, "u2")
		k1, ok1 := AppendUniqueKey(nil, []byte(s1), []byte(u1))
		k2, ok2 := AppendUniqueKey(nil, []byte(s2), []byte(u2))
		if ok1 && ok2 && string(k1) == string(k2) && (s1 != s2 || u1 != u2) {
			t.Fatalf("%q %q and %q %q make one key: %q", s1, u1, s2, u2, k1)
		}
	})
	for u, want := range map[string]string{"order-7": "{a}:unique:order-7", "mail:daily:5": "{a}:unique:mail:daily:5"} {
		if k, _ := AppendUniqueKey(nil, []byte("a"), []byte(u)); string(k) != want {
			t.Errorf("%s: %s, want %s as the version before wrote it", u, k, want)
		}
	}
}
