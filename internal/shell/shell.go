// Package shell writes commands that people paste into a shell.
package shell

import (
	"strings"
	"unicode/utf8"
)

// Quote writes a word as a shell reads it.
func Quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:/@%+,", r)
	}
	if word != "" && word[0] != '-' && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Carries reports whether a word can be written in a command line, on a page and in a form.
// Bytes that are no text, NUL and CR cannot.
func Carries(word string) bool { return utf8.ValidString(word) && !strings.ContainsAny(word, "\x00\r") }

// Command writes a command of the tool: a verb such as "queue redrive", the names it is about, and
// flags such as "--group=workers". A flag's value stands behind its "=". Where a name begins with a
// dash, the names stand behind "--", so that the tool takes none of them for a flag. Command returns
// "" where a command line cannot carry a word.
func Command(verb string, flags []string, names ...string) string {
	quoted, between := "", ""
	for _, n := range names {
		if !Carries(n) {
			return ""
		}
		if strings.HasPrefix(n, "-") {
			between = " --"
		}
		quoted += " " + Quote(n)
	}
	with := ""
	for _, f := range flags {
		if !Carries(f) {
			return ""
		}
		name, value, has := strings.Cut(f, "=")
		if with += " " + name; has {
			with += "=" + Quote(value)
		}
	}
	if between != "" {
		return "holdfast " + verb + with + between + quoted
	}
	return "holdfast " + verb + quoted + with
}
