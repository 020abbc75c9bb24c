package dispatch

import (
	"strconv"
	"unicode/utf8"
)

const (
	historyMost = 10      // tries a history tells of
	errorMost   = 500     // bytes of an error or a consumer's name in it
	historySize = 1 << 16 // a longer history was not written here
)

// AppendTry writes a task's history with one more try at its end. A history is a
// JSON array, the newest try last:
//
//	[{"at":1790000000123,"id":"1790000000000-0","consumer":"w1","error":"no route"}]
//
// at is when the try failed, in unix milliseconds. The array has at most ten tries,
// and each error at most 500 bytes. Anything else than such an array is dropped.
func AppendTry(b, history []byte, at int64, id, consumer, failure string) []byte {
	tries := splitTries(history)
	if n := len(tries) - (historyMost - 1); n > 0 {
		tries = tries[n:]
	}
	b = append(b, '[')
	for _, t := range tries {
		b = append(append(b, t...), ',')
	}
	b = append(b, `{"at":`...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, `,"id":`...)
	b = appendQuoted(b, id)
	b = append(b, `,"consumer":`...)
	b = appendQuoted(b, cut(consumer))
	b = append(b, `,"error":`...)
	b = appendQuoted(b, cut(failure))
	return append(b, "}]"...)
}

// splitTries answers the objects of a history as they stand there, nil when it is
// none.
func splitTries(history []byte) (tries [][]byte) {
	n := len(history)
	if n < 2 || n > historySize || history[0] != '[' || history[n-1] != ']' {
		return nil
	}
	depth, quoted, from := 0, false, 0
	for i := 1; i < n-1; i++ {
		c := history[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			if depth++; depth == 1 {
				from = i
			}
		case c == '}':
			if depth--; depth < 0 {
				return nil
			}
			if depth == 0 {
				tries = append(tries, history[from:i+1])
			}
		case depth == 0 && c != ',':
			return nil
		}
	}
	if depth != 0 || quoted {
		return nil
	}
	return tries
}

// cut shortens a text to errorMost bytes, at a rune's boundary.
func cut(s string) string {
	if len(s) <= errorMost {
		return s
	}
	n := errorMost
	for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n]
}

// appendQuoted writes a JSON string. What is no UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s { // invalid bytes come as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
