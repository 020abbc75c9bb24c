package locktable

// Store is the keyspace as the table sees it, one lock open at a time. The
// table reads the holders from it and writes them to it; it keeps no second
// truth about them. Every write is passed on to replicas and the AOF as the
// native command named beside it.
type Store interface {
	// Open goes to the lock of that name and tells what stands there. It
	// creates nothing. Whatever was open is closed.
	Open(db int, name []byte) Found
	// Close ends what Open began.
	Close()

	// Record is the field of one owner. It is valid until the next call.
	Record(owner []byte) (record []byte, ok bool)
	// Any is the record of whichever holder is cheapest to find.
	Any() (record []byte, ok bool)
	// Each visits every field, until visit answers false. Visit may not write.
	Each(visit func(owner, record []byte) bool)

	// Put writes a holder, and the key's expiry (unix ms) unless that is 0:
	// HSET name owner record, PEXPIREAT name ms.
	Put(owner, record []byte, expires int64)
	Remove(owner []byte)    // HDEL name owner
	Delete()                // DEL name
	ExpireAt(expires int64) // PEXPIREAT name ms

	// Event tells those who subscribed to keyspace events what happened to the
	// open lock.
	Event(event Event)

	// Watch asks that Stir be called whenever something else touches the name;
	// Unwatch takes that back. Neither needs the lock to be open.
	Watch(db int, name []byte)
	Unwatch(db int, name []byte)
	// WatchClient asks that Disconnected be called when a connection closes.
	WatchClient(client uint64)
	UnwatchClient(client uint64)
}

// Found is what Open found.
type Found struct {
	Kind    Kind
	Holders int   // fields of the hash, dead leases included
	Expires int64 // the key's expiry in unix ms, 0 if it has none
}

// Kind is what stands at a name.
type Kind uint8

// What may stand at a name.
const (
	Absent Kind = iota
	Hash
	Other     // a key of another type, which is none of ours
	Elsewhere // another node of the cluster serves the name now
)

// Event is a keyspace event of the module's own class.
type Event uint8

// The events, in the order in which a lock usually meets them.
const (
	Acquired Event = iota
	Released
	Expired // a lease ran out before its holder let go
	Broken  // taken away: by BREAK, or because an operator removed the key
)
