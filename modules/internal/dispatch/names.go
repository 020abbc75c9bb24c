package dispatch

import (
	"bytes"

	"holdfast/internal/slot"
)

// AppendSideKey writes the name of a key that belongs to a stream and is in its
// slot: {mail}:delayed for the stream mail, {eu}mail::delayed for {eu}mail. The
// second colon keeps the keys of {mail} apart from those of mail. ok is false
// when no name could be in the slot: the stream's has a '}' and no tag.
func AppendSideKey(b, stream []byte, kind string) (key []byte, ok bool) {
	if _, tagged := slot.Tag(stream); tagged {
		b = append(b, stream...)
		b = append(b, "::"...)
		return append(b, kind...), true
	}
	if len(stream) == 0 || bytes.IndexByte(stream, '}') >= 0 {
		return b, false
	}
	b = append(b, '{')
	b = append(b, stream...)
	b = append(b, "}:"...)
	return append(b, kind...), true
}

// StreamOf is the stream to which a side key of that kind belongs; ok is false
// when key is none.
func StreamOf(key []byte, kind string) (stream []byte, ok bool) {
	base, ok := bytes.CutSuffix(key, []byte(kind))
	if !ok {
		return nil, false
	}
	if s, tagged := bytes.CutSuffix(base, []byte("::")); tagged {
		stream = s
	} else if s, closed := bytes.CutSuffix(base, []byte("}:")); closed && len(s) > 1 && s[0] == '{' {
		stream = s[1:]
	} else {
		return nil, false
	}
	back, ok := AppendSideKey(nil, stream, kind)
	return stream, ok && bytes.Equal(back, key)
}

// AppendUniqueKey writes the name of the side key that remembers a unique id of a
// stream. Ids that begin with ":" or contain "::" or "%" are escaped, so that no two
// pairs of a stream and an id make one name; all others stand as they are.
func AppendUniqueKey(b, stream, unique []byte) (key []byte, ok bool) {
	if b, ok = AppendSideKey(b, stream, "unique:"); !ok {
		return b, false
	}
	if !bytes.HasPrefix(unique, []byte(":")) && !bytes.Contains(unique, []byte("::")) && bytes.IndexByte(unique, '%') < 0 {
		return append(b, unique...), true
	}
	for _, c := range unique {
		switch c {
		case '%':
			b = append(b, "%25"...)
		case ':':
			b = append(b, "%3A"...)
		default:
			b = append(b, c)
		}
	}
	return b, true
}
