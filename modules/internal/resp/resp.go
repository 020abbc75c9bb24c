// Package resp reads the server's replies as they stand, in RESP2, once from
// front to back and without an allocation. It trusts what it reads: the server
// that the code runs in wrote it a moment ago.
package resp

import "slices"

// Reader reads one value after another. Its zero value is at the end.
type Reader struct{ rest []byte }

// Read begins to read b, which stays in place: what is answered are views.
func Read(b []byte) Reader { return Reader{b} }

// More tells whether there is anything left to read.
func (r *Reader) More() bool { return len(r.rest) > 0 }

// Kind is the first byte of the next value: * array, $ bulk string, : integer,
// + status, - error; 0 at the end.
func (r *Reader) Kind() byte {
	if len(r.rest) == 0 {
		return 0
	}
	return r.rest[0]
}

// Array enters an array and is its length, -1 for nil.
func (r *Reader) Array() int { return int(r.number()) }

// Int is the next integer, also one written as a bulk string; ok is false for
// anything else, which is skipped.
func (r *Reader) Int() (n int64, ok bool) {
	if r.Kind() == ':' {
		return r.number(), true
	}
	b := r.Bytes()
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(b) {
		n = -n
	}
	return n, len(digits) > 0
}

// Bytes is the next string, status, error or integer as text, nil for nil. An
// array is skipped and is nil too.
func (r *Reader) Bytes() []byte {
	switch r.Kind() {
	case '$':
		n := r.number()
		if n < 0 {
			return nil
		}
		s := r.rest[:n:n]
		r.rest = r.rest[n+2:]
		return s
	case '*':
		r.Skip()
		return nil
	case 0:
		return nil
	}
	return r.line()
}

// Skip goes past the next value, arrays with all that is in them, and is its
// text.
func (r *Reader) Skip() []byte {
	from := r.rest
	for left := 1; left > 0; left-- {
		if r.Kind() == '*' {
			left += max(r.Array(), 0)
		} else {
			r.Bytes()
		}
	}
	n := len(from) - len(r.rest)
	return from[:n:n]
}

// line is the text of the next line without its kind.
func (r *Reader) line() []byte {
	for i, c := range r.rest {
		if c == '\r' {
			s := r.rest[1:i:i]
			r.rest = r.rest[i+2:]
			return s
		}
	}
	r.rest = nil
	return nil
}

func (r *Reader) number() (n int64) {
	negative := len(r.rest) > 1 && r.rest[1] == '-'
	i := 1
	if negative {
		i = 2
	}
	for ; i < len(r.rest) && r.rest[i] != '\r'; i++ {
		n = n*10 + int64(r.rest[i]-'0')
	}
	r.rest = r.rest[min(i+2, len(r.rest)):]
	if negative {
		return -n
	}
	return n
}

// Rest is all that has not been read yet.
func (r *Reader) Rest() []byte { return slices.Clip(r.rest) }
