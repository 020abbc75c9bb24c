package locktable

import "math"

// forever is the end of a lease that has none: a lock whose key was made to
// PERSIST.
const forever = math.MaxInt64

// lock is a lock while it is open: what was found there, and what is to be
// written when the function that decides about it returns. The fields of Found
// follow the writes; what the Store reads does not.
type lock struct {
	Found
	db   int
	name []byte
	hash uint64

	holder  Record // of a string
	owner   []byte // likewise
	foreign bool   // the string is somebody's SET NX PX, and not ours

	writes  []Write
	events  []Event
	bytes   []byte // what writes point into
	decided bool
}

// at opens the lock of that name, lets use decide, carries out what use wrote
// and closes the lock. One lock is open at a time.
func (t *Table) at(db int, name []byte, use func(k *lock)) {
	t.with(t.store.Open(db, name), db, name, use)
}

// peek is at for a function that writes nothing.
func (t *Table) peek(db int, name []byte, use func(k *lock)) {
	t.with(t.store.Peek(db, name), db, name, use)
}

func (t *Table) with(found Found, db int, name []byte, use func(k *lock)) {
	k := &t.open
	*k = lock{
		Found: found, db: db, name: name, hash: t.store.Hash(db, name),
		writes: k.writes[:0], events: k.events[:0], bytes: k.bytes[:0],
	}
	defer k.close(t.store)
	k.readText()
	use(k)
	k.decided = true
}

func (k *lock) close(store Store) {
	if !k.decided { // use panicked: nothing is written
		k.writes, k.events = nil, nil
	}
	store.Commit(k.writes, k.events)
	if cap(k.bytes) > MaxRecord {
		k.bytes, k.writes, k.events = nil, nil, nil
	}
}

// readText makes a holder of a string. A string with an expiry that is not in
// our form is the lock of a client that uses SET NX PX, and its value the owner.
func (k *lock) readText() {
	if k.Kind != Text {
		return
	}
	ours := false
	k.holder, k.owner, ours = ParseText(k.Value)
	switch {
	case ours:
	case k.Expires > 0:
		k.foreign = true
		k.holder, k.owner = Record{Limit: Exclusive}, k.Value
	default:
		k.Kind = Other
		return
	}
	k.Holders = 1
	if k.holder.Expires = k.Expires; k.Expires == 0 {
		k.holder.Expires = forever
	}
}

// find is the live record of owner in the open lock.
func (t *Table) find(now int64, k *lock, owner []byte) (h Record, ok bool, err error) {
	switch k.Kind {
	case Absent:
		return h, false, nil
	case Other:
		return h, false, ErrWrongType
	case Elsewhere:
		return h, false, ErrMoved
	case Text:
		t.fence.Saw(k.holder.Token, now)
		return k.holder, string(owner) == string(k.owner) && k.holder.Live(now), nil
	}
	record, there := t.store.Record(owner)
	if !there {
		any := false
		if record, any = t.store.Any(); !any {
			return h, false, nil // the fields that HLEN counts have run out
		}
	}
	if h, ok = ParseRecord(record); !ok { // it may be no lock at all
		return h, false, ErrWrongType
	}
	t.fence.Saw(h.Token, now)
	return h, there && h.Live(now), nil
}

// records visits the records of the open lock, and answers whether it is one.
// One field is looked at first: a big hash of somebody's is not walked.
func (t *Table) records(k *lock, visit func(owner []byte, r *Record)) (isLock bool) {
	switch k.Kind {
	case Absent:
		return true
	case Text:
		visit(k.owner, &k.holder)
		return true
	case Hash:
	default:
		return false
	}
	first, any := t.store.Any()
	if !any {
		return true
	}
	if _, isLock = ParseRecord(first); isLock {
		t.store.Each(func(owner, field []byte) bool {
			var r Record
			if r, isLock = ParseRecord(field); isLock {
				visit(owner, &r)
			}
			return isLock
		})
	}
	return isLock
}

func (k *lock) event(e Event) { k.events = append(k.events, e) }

// set makes the lock a string, whatever stood there.
func (k *lock) set(owner []byte, r *Record, expires int64) {
	from := len(k.bytes)
	k.bytes = r.AppendText(k.bytes, owner)
	k.writes = append(k.writes, Write{Kind: Set, Value: k.bytes[from:], Expires: expires})
	k.Kind, k.Holders, k.Expires = Text, 1, expires
	k.holder, k.owner, k.foreign = *r, owner, false
	k.holder.Expires = expires
}

// put writes one holder of a hash, and the key's expiry unless that is 0.
func (k *lock) put(owner []byte, r *Record, expires int64) {
	if k.Kind == Text { // whose lease is over, or it would not be written over
		k.delete()
	}
	from := len(k.bytes)
	k.bytes = r.Append(k.bytes)
	k.writes = append(k.writes, Write{Kind: Put, Owner: owner, Value: k.bytes[from:], Expires: expires})
	k.Kind = Hash
	if expires != 0 {
		k.Expires = expires
	}
}

// remove takes one holder out of the hash, and with the last one the key.
func (k *lock) remove(owner []byte) {
	if k.Holders <= 1 {
		k.delete()
		return
	}
	k.writes = append(k.writes, Write{Kind: Remove, Owner: owner})
	k.Holders--
}

func (k *lock) delete() {
	if k.Kind != Absent {
		k.writes = append(k.writes, Write{Kind: Delete})
	}
	k.Found = Found{}
}

func (k *lock) expireAt(expires int64) {
	if n := len(k.writes); n > 0 && k.writes[n-1].Kind == Put {
		k.writes[n-1].Expires = expires
	} else {
		k.writes = append(k.writes, Write{Kind: ExpireAt, Expires: expires})
	}
	k.Expires = expires
	if k.Kind == Text {
		k.holder.Expires = expires
	}
}
