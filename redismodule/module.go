package redismodule

// Module declares a module: its name, its commands and settings, and the functions that the
// server calls. Registration, COMMAND DOCS and the command reference derive from it.
//
// All functions of a module run on the server's main thread, one at a time, so
// they need no locks; and they hold up the whole server while they run.
type Module struct {
	Name    string // as MODULE LIST shows it
	Version int    // defaults to 1
	Summary string // one line, for the written reference

	Commands []Command
	Configs  []Config

	// Load starts the module afresh, before its first command. A Go library
	// stays in memory when the server unloads it, so package variables still
	// hold what they held: Load must reset them all. An error refuses the load.
	Load func(ctx *Ctx) error
	// Unload may refuse to go by an error. The server asks only when no client
	// is blocked in the module and its timer is not set.
	Unload func(ctx *Ctx) error

	// Changed hears that one of Configs was set while the module runs.
	Changed func()

	// Info writes the module's section of INFO.
	Info func(w *Info)

	// Timer runs at the time given to Ctx.SetTimer, where writing is allowed
	// (see Ctx.MayWrite). A module has one timer, for its earliest deadline.
	Timer func(ctx *Ctx)
	// ReplicaTimer runs instead of Timer on a replica. It must not write.
	ReplicaTimer func(ctx *Ctx)

	// KeyEvents are the classes of keyspace events that may concern a watched
	// key, and KeyEvent hears of them: for keys given to Ctx.Watch only (rarely,
	// another with the same hash), and not for what the module's own calls
	// do. It must not write and not open keys; SetTimer(0) is the way to act at once.
	KeyEvents EventClass
	KeyEvent  func(ctx *Ctx, event string, key []byte)
	// KeySuffix has KeyEvent hear of every key whose name ends so too, once the
	// module watches any.
	KeySuffix string
	// Harmless are the names of key events that leave passes open (see OpenPass).
	Harmless []string

	// CatchUp hears what the fast path did with rooms and passes that are PassLogged, before
	// anything else of the module runs. It must not touch the server. Of the modules in a
	// library one can have it.
	CatchUp func(log []KeyedChange)

	// ClientGone hears that a connection given to Ctx.WatchClient closed. It
	// must not write.
	ClientGone func(ctx *Ctx, client uint64)
	// FlushDB hears of FLUSHDB and FLUSHALL after the fact; db is -1 for all.
	FlushDB func(ctx *Ctx, db int)
	// SwapDB hears of SWAPDB after the fact.
	SwapDB func(ctx *Ctx, a, b int)
	// SlotsMoved hears that slots with their keys came to this node (here), or went
	// to another one, by an atomic slot migration (Valkey 9). Until they have come,
	// their keys lie in the keyspace of a node that does not serve them: see Ctx.At.
	// It must not write.
	SlotsMoved func(ctx *Ctx, here bool)
	// Loaded hears that a dataset was loaded: at start, DEBUG RELOAD, or from a
	// primary. It must not write.
	Loaded func(ctx *Ctx)
	// RoleChanged hears that the server became a primary or a replica. The waits on a
	// primary that becomes a replica end by themselves (Waiter.Gone). It must not
	// write.
	RoleChanged func(ctx *Ctx, primary bool)
}

// EventClass is a set of classes of keyspace events.
type EventClass int

// The classes, as in the server's notify-keyspace-events.
const (
	EventGeneric EventClass = 1 << 2 // DEL, RENAME, EXPIRE, MOVE, COPY, RESTORE …
	EventString  EventClass = 1 << 3
	EventList    EventClass = 1 << 4
	EventSet     EventClass = 1 << 5
	EventHash    EventClass = 1 << 6
	EventZSet    EventClass = 1 << 7
	EventExpired EventClass = 1 << 8
	EventEvicted EventClass = 1 << 9
	EventStream  EventClass = 1 << 10
	EventModule  EventClass = 1 << 13
)

// Handler answers a command. args[0] is the command's name, and the server has
// checked the arity. An error becomes the error reply; after one, nothing else
// may have been replied.
type Handler func(ctx *Ctx, args []Arg) error

// Error is an error reply: a stable first word in upper case, then what to do.
type Error string

func (e Error) Error() string { return string(e) }

// Replies that the server's own commands give too.
const (
	ErrWrongType  Error = "WRONGTYPE Operation against a key holding the wrong kind of value"
	ErrNotInteger Error = "ERR value is not an integer or out of range"
	ErrSyntax     Error = "ERR syntax error"
	ErrOOM        Error = "OOM command not allowed when used memory > 'maxmemory'."
)

// module is a registered Module and its state in this process.
type module struct {
	*Module
	slot     int // its number in C
	loaded   bool
	watching bool // has asked for key events
	clients  bool // has asked for events of connections

	noFastPath bool
	timer      timer
	blocked    int // clients blocked in it
}

var modules []*module

// Register makes a module known to the library. Call it from an init function:
// the server may load any that was registered.
func Register(m *Module) {
	if len(modules) == maxModules {
		panic("redismodule: too many modules in one library")
	}
	if m.Version == 0 {
		m.Version = 1
	}
	modules = append(modules, &module{Module: m, slot: len(modules)})
}

// Registered are the modules of this library.
func Registered() []*Module {
	var all []*Module
	for _, m := range modules {
		all = append(all, m.Module)
	}
	return all
}
