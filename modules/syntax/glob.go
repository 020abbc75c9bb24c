package syntax

import "bytes"

// Matches reports whether name fits a glob as the server understands one: *, ?,
// [set], [^set], [a-z], and a backslash before what is meant literally. Only the
// last star is ever tried again, so that no glob takes for ever.
func Matches(glob, name []byte) bool {
	var behind, from []byte // what stands behind that star, and where it was tried
	for len(name) > 0 {
		if len(glob) > 0 && glob[0] == '*' {
			glob = glob[1:]
			behind, from = glob, name
			continue
		}
		rest, fits := one(glob, name[0])
		switch {
		case fits:
			glob, name = rest, name[1:]
		case behind != nil:
			from = from[1:]
			glob, name = behind, from
		default:
			return false
		}
	}
	return len(bytes.TrimLeft(glob, "*")) == 0
}

// one reports whether c fits what a glob begins with, and what comes behind that.
func one(glob []byte, c byte) (rest []byte, fits bool) {
	switch {
	case len(glob) == 0:
		return nil, false
	case glob[0] == '?':
		return glob[1:], true
	case glob[0] == '[':
		return oneOf(glob[1:], c)
	case glob[0] == '\\' && len(glob) > 1:
		glob = glob[1:]
	}
	return glob[1:], glob[0] == c
}

// oneOf reads a set up to its closing bracket and tells whether c is in it.
func oneOf(set []byte, c byte) (rest []byte, in bool) {
	not := len(set) > 0 && set[0] == '^'
	if not {
		set = set[1:]
	}
	for len(set) > 0 && set[0] != ']' {
		switch {
		case set[0] == '\\' && len(set) > 1:
			in = in || set[1] == c
			set = set[2:]
		case len(set) > 2 && set[1] == '-':
			low, high := min(set[0], set[2]), max(set[0], set[2])
			in = in || low <= c && c <= high
			set = set[3:]
		default:
			in = in || set[0] == c
			set = set[1:]
		}
	}
	if len(set) > 0 {
		set = set[1:]
	}
	return set, in != not
}
