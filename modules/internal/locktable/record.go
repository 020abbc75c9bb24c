package locktable

import "strconv"

// A lock's mode is its limit: how many may hold it at once. Exclusive is the
// lock of one, Shared has no bound, and every other number is a semaphore.
const (
	Shared    = 0
	Exclusive = 1
)

// What a record may hold at most, in bytes. A longer field or string is not
// copied, and is no lock.
const (
	MaxOwner  = 64 << 10
	MaxMeta   = 64 << 10
	MaxRecord = MaxMeta + 128
)

// Record is what the keyspace says about one holder, written so that a person
// with GET or HGETALL and nothing else can read it. An exclusive lock without
// META and SESSION is a string that expires with the lease:
//
//	exclusive 1790000000000000 1790000000000 web-1
//	mode      token            acquired ms   owner
//
// Every other lock is a hash with a field for each holder, named by its owner:
//
//	shared 1790000000000000 1790000000000 1790000030000 session host=a pid=7
//	mode   token            acquired ms   expires ms    flags   meta…
//
// A server without the module keeps, replicates and expires either.
type Record struct {
	Limit    int64
	Token    int64
	Acquired int64 // unix ms
	Expires  int64 // unix ms
	Session  bool
	Meta     []byte // whatever the holder had to say; may hold any byte
}

// Live tells whether the lease still runs. It ends at the millisecond it names.
func (r *Record) Live(now int64) bool { return r.Expires > now }

// Append writes the record behind dst.
func (r *Record) Append(dst []byte) []byte {
	dst = AppendMode(dst, r.Limit)
	for _, n := range [...]int64{r.Token, r.Acquired, r.Expires} {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, n, 10)
	}
	if r.Session {
		dst = append(dst, " session"...)
	} else {
		dst = append(dst, " -"...)
	}
	if len(r.Meta) == 0 {
		return dst
	}
	return append(append(dst, ' '), r.Meta...)
}

// ParseRecord reads what Append wrote. Its Meta is a view of field. It answers
// false for anything else: then the hash is not a lock, and the table leaves it
// alone.
func ParseRecord(field []byte) (r Record, ok bool) {
	mode, rest, ok := word(field)
	if !ok {
		return r, false
	}
	if r.Limit, ok = parseMode(mode); !ok {
		return r, false
	}
	for _, n := range [...]*int64{&r.Token, &r.Acquired, &r.Expires} {
		if *n, rest, ok = number(rest); !ok {
			return r, false
		}
	}
	flags, meta, more := word(rest)
	if !more {
		flags = rest
	} else if len(meta) == 0 {
		return r, false
	}
	switch string(flags) {
	case "session":
		r.Session = true
	case "-":
	default:
		return r, false
	}
	r.Meta = meta
	return r, true
}

// AppendText writes the string of an exclusive lock behind dst.
func (r *Record) AppendText(dst, owner []byte) []byte {
	dst = append(dst, "exclusive "...)
	dst = append(strconv.AppendInt(dst, r.Token, 10), ' ')
	dst = append(strconv.AppendInt(dst, r.Acquired, 10), ' ')
	return append(dst, owner...)
}

// ParseText reads what AppendText wrote; owner is a view of value. The string
// does not say when the lease ends: the key's expiry does.
func ParseText(value []byte) (r Record, owner []byte, ok bool) {
	mode, rest, ok := word(value)
	if !ok || string(mode) != "exclusive" {
		return r, nil, false
	}
	for _, n := range [...]*int64{&r.Token, &r.Acquired} {
		if *n, rest, ok = number(rest); !ok {
			return r, nil, false
		}
	}
	r.Limit = Exclusive
	return r, rest, true
}

// AppendMode writes a limit the way records and replies name it.
func AppendMode(dst []byte, limit int64) []byte {
	switch limit {
	case Shared:
		return append(dst, "shared"...)
	case Exclusive:
		return append(dst, "exclusive"...)
	}
	return strconv.AppendInt(append(dst, "limit:"...), limit, 10)
}

func parseMode(mode []byte) (limit int64, ok bool) {
	switch string(mode) {
	case "exclusive":
		return Exclusive, true
	case "shared":
		return Shared, true
	}
	const prefix = "limit:"
	if len(mode) <= len(prefix) || string(mode[:len(prefix)]) != prefix {
		return 0, false
	}
	limit, ok = digits(mode[len(prefix):])
	return limit, ok && limit > Exclusive
}

// word splits off what stands before the first space.
func word(b []byte) (first, rest []byte, ok bool) {
	for i, c := range b {
		if c == ' ' {
			return b[:i], b[i+1:], i > 0
		}
	}
	return nil, nil, false
}

func number(b []byte) (n int64, rest []byte, ok bool) {
	first, rest, ok := word(b)
	if !ok {
		return 0, nil, false
	}
	n, ok = digits(first)
	return n, rest, ok
}

// digits reads a number as Append writes it: no sign and no leading zero. At
// most 18 digits keep it clear of overflow.
func digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 || (b[0] == '0' && len(b) > 1) {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
