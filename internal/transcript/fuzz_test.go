package transcript

import (
	"slices"
	"strconv"
	"testing"
)

// What was cut into words and quoted again is cut into the same words.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{`SET k "a b"`, `'it\'s' "\x41\n"`, `"unbalanced`, `""`, `a"b"c`, "\t x "} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Split(line)
		if err != nil {
			return
		}
		quoted := ""
		for _, w := range words {
			quoted += `"`
			for _, c := range []byte(w) {
				quoted += `\x` + strconv.FormatUint(uint64(c)>>4, 16) + strconv.FormatUint(uint64(c)&15, 16)
			}
			quoted += `" `
		}
		if again, err := Split(quoted); err != nil || !slices.Equal(again, words) {
			t.Errorf("%q is cut into %q, and that into %q, %v", line, words, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("# Title\n```console\na> SET k v\nOK\n```\n")
	f.Add("```console\nOK\n> X\n```")
	f.Fuzz(func(_ *testing.T, markdown string) { Parse(markdown) })
}
