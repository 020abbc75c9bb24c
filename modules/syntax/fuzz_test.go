package syntax

import "testing"

// Matches answers what trying every way does, in much less time.
func FuzzMatches(f *testing.F) {
	for _, c := range [][2]string{{"*", ""}, {"h?llo", "hello"}, {"h[a-e]llo", "hello"}, {"h[^e]llo", "hallo"}, {`\*a*`, "*abc"}, {"[", "["}, {"[a", "a"}, {`[\]]`, "]"}, {"**a**b", "xaxb"}, {`a\`, `a\`}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if len(glob) > 12 || len(name) > 12 {
			Matches([]byte(glob), []byte(name))
			return
		}
		if got, want := Matches([]byte(glob), []byte(name)), everyWay([]byte(glob), []byte(name)); got != want {
			t.Errorf("%q fits %q: %v, want %v", name, glob, got, want)
		}
	})
}

func everyWay(glob, name []byte) bool {
	if len(glob) == 0 {
		return len(name) == 0
	}
	if glob[0] == '*' {
		return everyWay(glob[1:], name) || len(name) > 0 && everyWay(glob, name[1:])
	}
	if len(name) == 0 {
		return false
	}
	rest, fits := one(glob, name[0])
	return fits && everyWay(rest, name[1:])
}
