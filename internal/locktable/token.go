package locktable

// Fence hands out fencing tokens: each greater than every one before, whatever
// lock it is for. It needs no stored counter. A token is the clock's
// microseconds unless the last one was as late, so it keeps growing over a
// restart and a failover as long as the clocks err by less than the outage;
// and whatever record is read raises it above that record too.
type Fence struct{ last int64 }

// maxToken is what tokens stay below, so that every language can count them.
const maxToken = 1 << 53

// Next is the token of a grant made at now, in unix milliseconds.
func (f *Fence) Next(now int64) int64 {
	f.last = max(f.last+1, now*1000)
	return f.last
}

// Saw raises the fence above a token found in the keyspace.
func (f *Fence) Saw(token int64) { f.last = max(f.last, token) }

// Last is the greatest token handed out or seen, 0 if there was none.
func (f *Fence) Last() int64 { return f.last }
