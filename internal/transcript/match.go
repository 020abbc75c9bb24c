package transcript

import (
	"regexp"
	"strings"
)

// names maps what the text calls an id or token to what the server called it.
type names map[string]string

// given is what a server makes up: stream ids, tokens.
var given = regexp.MustCompile(`\b\d{13,19}(?:-\d+)?\b`)

// seconds is a time of day.
var seconds = regexp.MustCompile(`\b\d{10}\b`)

func (n names) replace(text string) string {
	return given.ReplaceAllStringFunc(text, func(id string) string {
		if actual, ok := n[id]; ok {
			return actual
		}
		return id
	})
}

// learn pairs the ids of a written reply with those of the actual one, in
// order, if there are as many.
func (n names) learn(written, actual string) {
	w, a := given.FindAllString(written, -1), given.FindAllString(actual, -1)
	if len(w) != len(a) {
		return
	}
	for i := range w {
		if _, known := n[w[i]]; !known {
			n[w[i]] = a[i]
		}
	}
}

// match compares a written reply, its ids replaced, with an actual one.
func match(written, actual string) bool {
	pattern := regexp.QuoteMeta(seconds.ReplaceAllString(written, "0"))
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	ok, err := regexp.MatchString(`(?s)\A`+pattern+`\z`, seconds.ReplaceAllString(actual, "0"))
	return ok && err == nil
}
