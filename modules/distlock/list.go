package distlock

import (
	"math"

	"holdfast/internal/locktable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

var listCommand = redismodule.Command{
	Name:       "lock.list",
	Summary:    "Lists the locks of this node and database by cursor, as SCAN lists keys.",
	Complexity: "O(N) for COUNT N, O(K) for a whole walk through K keys of any kind",
	Since:      "1.0.0",
	Arity:      -1,
	Flags:      "readonly",
	Categories: "read slow",
	Args: []redismodule.Argument{
		{Name: "glob", Type: redismodule.ArgPattern, Token: "MATCH", Optional: true},
		{Name: "cursor", Token: "CURSOR", Optional: true, Summary: "Where the last call left off; 0 begins."},
		{Name: "n", Type: redismodule.ArgInteger, Token: "COUNT", Optional: true, Summary: "How many keys to look at, 100 by default."},
	},
	Reply: "[cursor, [name …]] of locks that are held or waited for; the walk is at its end when the cursor is 0. " +
		"A lock that is there all the while is named at least once.",
	Handler: list,
}

// list walks the keyspace and not the table, because the keyspace knows the
// holders: after a restart, a promotion, and on a replica.
func list(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	count, cursor, glob := int64(100), []byte("0"), []byte("*")
	var err error
	for o := syntax.NewOptions(args[1:]); err == nil && o.Next(); {
		switch {
		case o.Is("MATCH"):
			glob = o.Value().Bytes()
		case o.Is("CURSOR"):
			cursor = o.Value().Bytes()
		case o.Is("COUNT"):
			count, err = syntax.Int(o.Value(), 1, math.MaxInt32)
		default:
			o.Unknown()
		}
		if o.Err() != nil {
			return o.Err()
		}
	}
	if err != nil {
		return err
	}
	store.enterCommand(ctx, redismodule.Arg{})
	store.reading = true
	defer func() { store.Close(); store.reading = false }()

	reply := ctx.Cmd("SCAN").Bytes(cursor).Str("MATCH").Bytes(glob).
		Str("COUNT").Int(count).Str("TYPE").Str("hash").Call("E")
	defer reply.Free()
	if err := reply.Err(); err != nil {
		return err
	}
	var names []string
	for i, found := 0, reply.Elem(1); i < found.Len(); i++ {
		name := found.Elem(i).Bytes()
		if store.Open(store.db, name).Kind != locktable.Hash {
			continue // expired since
		}
		if record, ok := store.Any(); ok {
			if _, ok = locktable.ParseRecord(record); ok {
				names = append(names, string(name))
			}
		}
	}
	if string(cursor) == "0" { // those that only wait have no key to be found by
		table.Contended(store.db, func(name string) {
			if matches(glob, []byte(name)) && store.Open(store.db, []byte(name)).Kind == locktable.Absent {
				names = append(names, name)
			}
		})
	}
	ctx.ReplyArray(2)
	ctx.ReplyBytes(reply.Elem(0).Bytes())
	ctx.ReplyArray(len(names))
	for _, name := range names {
		ctx.ReplyString(name)
	}
	return nil
}

// matches tells whether name fits a glob as the server understands one: *, ?,
// [set], [^set], [a-z], and a backslash before what is meant literally.
func matches(glob, name []byte) bool {
	for len(glob) > 0 {
		switch glob[0] {
		case '*':
			for glob = glob[1:]; len(glob) > 0 && glob[0] == '*'; {
				glob = glob[1:]
			}
			for i := 0; i <= len(name); i++ {
				if matches(glob, name[i:]) {
					return true
				}
			}
			return false
		case '[':
			if len(name) == 0 {
				return false
			}
			rest, in := oneOf(glob[1:], name[0])
			if !in {
				return false
			}
			glob, name = rest, name[1:]
			continue
		case '?':
			if len(name) == 0 {
				return false
			}
		case '\\':
			if len(glob) > 1 {
				glob = glob[1:]
			}
			fallthrough
		default:
			if len(name) == 0 || glob[0] != name[0] {
				return false
			}
		}
		glob, name = glob[1:], name[1:]
	}
	return len(name) == 0
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
