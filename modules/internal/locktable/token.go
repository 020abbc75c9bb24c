package locktable

// Fence hands out fencing tokens: each greater than every one before, whatever
// lock it is for. It needs no stored counter. A token is the clock's
// microseconds, or the last token plus one where that is greater. So tokens keep
// growing over a restart and a failover while the clocks err by less than the
// outage; and a record that is read raises the next token above its own.
// The greatest token stands where the store keeps it, because the server's fast path
// hands out tokens too.
type Fence struct{ last *int64 }

// believed is how far ahead of the clock the token of a record may be, in
// microseconds: a week. Whoever may write one key may write any number there, and
// a token that no clock explains must not move everybody's.
const believed = 7 * 24 * 3600 * 1_000_000

// Next is the token of a grant made at now, in unix milliseconds.
func (f *Fence) Next(now int64) int64 {
	*f.last = max(*f.last+1, now*1000)
	return *f.last
}

// Saw raises the fence to a token found in the keyspace at now, unless the clock
// cannot explain that token.
func (f *Fence) Saw(token, now int64) {
	if token <= now*1000+believed {
		*f.last = max(*f.last, token)
	}
}

// Last is the greatest token handed out or seen, 0 if there was none.
func (f *Fence) Last() int64 { return *f.last }
