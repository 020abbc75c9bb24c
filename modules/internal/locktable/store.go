package locktable

// Store is the keyspace as the table sees it, one lock open at a time. Only
// Table.at and Table.peek open and close a lock, so that a lock is open exactly
// as long as the function that decides about it runs. The table keeps no second truth about
// holders: it reads them here, and what it wants written it hands to Commit.
type Store interface {
	// Open asks whether this node serves the name, and only then opens the lock
	// and tells what stands there. It creates nothing.
	Open(db int, name []byte) Found
	// Peek is Open for who only looks: it changes nothing about the key, works on
	// a replica, and nothing is written.
	Peek(db int, name []byte) Found
	// Commit carries out the writes in their order, raises the events and closes
	// the lock.
	Commit(writes []Write, events []Event)

	// Record is the field of one owner in the open hash, valid until the next
	// call. It shows the hash as it was found, as Any, Each and Scan do: writes
	// wait for Commit.
	Record(owner []byte) (record []byte, ok bool)
	// Any is the record of whichever holder is cheapest to find.
	Any() (record []byte, ok bool)
	// Each visits every field, until visit answers false.
	Each(visit func(owner, record []byte) bool)
	// Scan visits about as many fields as told, and answers whether there are
	// more. A field that is there all the while is visited at least once.
	Scan(c Cursor, fields int, visit func(owner, record []byte) bool) (more bool)
	// Cursor is the beginning of a Scan, which may go on in later visits.
	Cursor() Cursor

	// Token is where the greatest token is kept, for the fast path too.
	Token() *int64
	// Logged visits what the fast path has done to locks since it was last asked, in
	// order: the lock of a hash is held until expires, or was released (0); held is
	// for how long it was, negative where it goes on.
	Logged(visit func(hash uint64, expires, at, held int64))
	// Hash is a number for a name, the same until the process ends.
	Hash(db int, name []byte) uint64

	// Watch asks that Touched be called whenever something else touches the name;
	// Unwatch takes that back. Neither needs the lock to be open.
	Watch(db int, name []byte)
	Unwatch(db int, name []byte)
	// WatchClient asks that Disconnected be called when a connection closes.
	WatchClient(client uint64)
	UnwatchClient(client uint64)
}

// Cursor is where a Scan goes on. Close gives back what it keeps.
type Cursor interface{ Close() }

// Found is what Open found.
type Found struct {
	Kind    Kind
	Holders int    // fields of the hash, dead leases included
	Expires int64  // the key's expiry in unix ms, 0 if it has none
	Value   []byte // of a string, valid until Commit
}

// Kind is what stands at a name.
type Kind uint8

// What may stand at a name.
const (
	Absent Kind = iota
	Hash
	Text      // a string of at most MaxRecord bytes
	Other     // a key of another type or a longer string, which is none of ours
	Elsewhere // another node of the cluster serves the name now
)

// Write is one change to the open lock. It is passed on to replicas and the AOF
// as the native command named beside its kind.
type Write struct {
	Kind    WriteKind
	Owner   []byte // of Put and Remove
	Value   []byte // of Set and Put
	Expires int64  // the key's, unix ms; for Put 0 leaves it as it is
}

// WriteKind is what a Write does.
type WriteKind uint8

// The kinds of writes.
const (
	Set      WriteKind = iota // SET name value PXAT ms
	Put                       // HSET name owner value, and PEXPIREAT name ms
	Remove                    // HDEL name owner
	Delete                    // DEL name
	ExpireAt                  // PEXPIREAT name ms
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
