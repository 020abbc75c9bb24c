package redismodule

import "slices"

// Command is one command of a module, and its documentation.
type Command struct {
	Name       string // lower case, e.g. "lock.acquire"
	Summary    string // one sentence
	Complexity string // e.g. "O(1)"
	Since      string // module version that brought it
	// Arity counts the name; -n means n or more. The server checks it.
	Arity int
	// Flags are the server's words: write or readonly, deny-oom, fast, blocking …
	Flags string
	// Categories are ACL categories, set where the server can (Redis 7.2,
	// Valkey); elsewhere the command is in @all alone.
	Categories string
	Keys       []KeySpec
	Args       []Argument
	// Reply says in one sentence what is answered, for the written reference.
	Reply   string
	Handler Handler
}

// KeyFlags say what a command does with a key; ACLs and routing depend on it.
type KeyFlags uint64

// Exactly one of KeyRO, KeyRW, KeyOW and KeyRM; the others as they apply.
const (
	KeyRO     KeyFlags = 1 << 0 // reads the value
	KeyRW     KeyFlags = 1 << 1 // changes the value, looking at it
	KeyOW     KeyFlags = 1 << 2 // replaces it without looking
	KeyRM     KeyFlags = 1 << 3 // deletes it
	KeyAccess KeyFlags = 1 << 4 // its data can reach the caller
	KeyUpdate KeyFlags = 1 << 5 // data is changed
	KeyInsert KeyFlags = 1 << 6 // data is added
	KeyDelete KeyFlags = 1 << 7 // data is removed
)

// KeySpec says where keys stand among the arguments.
type KeySpec struct {
	Flags KeyFlags
	// The first key: at argument Index, or right behind Keyword, looked for
	// from argument From on.
	Index   int
	Keyword string
	From    int
	// The rest: Last counts from the first key (0: it alone, -1: to the end) in
	// steps of Step (0 means 1). Or, with Count, the place holds the number of
	// keys and they begin behind it.
	Last  int
	Step  int
	Count bool
}

// ArgType is how an argument is meant.
type ArgType int

// The types of arguments, as COMMAND DOCS shows them.
const (
	ArgString ArgType = iota
	ArgInteger
	ArgDouble
	ArgKey
	ArgPattern
	ArgUnixTime
	ArgToken // a bare word
	ArgOneOf // exactly one of Args
	ArgBlock // Args together
)

// Argument documents an argument or, with Args, a group of them.
type Argument struct {
	Name     string
	Type     ArgType
	Token    string // the word before it
	Summary  string
	Key      int // for ArgKey: which of the command's Keys, from 0
	Optional bool
	Multiple bool
	Args     []Argument
}

// boundCommand is a command in the server: its place in the table of C
// functions that the server calls.
type boundCommand struct {
	*Command
	m *module
}

var commands []boundCommand

// slotOf is the place of a command, negative if it has none.
func slotOf(name string) int {
	return slices.IndexFunc(commands, func(b boundCommand) bool { return b.Name == name })
}

func (m *module) bind(c *Command) int {
	if i := slotOf(c.Name); i >= 0 { // loaded before: keep its place
		commands[i] = boundCommand{c, m}
		return i
	}
	if len(commands) == maxCommands {
		panic("redismodule: too many commands in one library")
	}
	commands = append(commands, boundCommand{c, m})
	return len(commands) - 1
}
