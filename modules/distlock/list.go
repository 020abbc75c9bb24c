package distlock

import (
	"bytes"
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
// [set], [^set], [a-z], and a backslash before what is meant literally. Only the
// last star is ever tried again, so that no glob takes for ever.
func matches(glob, name []byte) bool {
	var behind, from []byte // what stands behind that star, and where it was tried
	for len(name) > 0 {
		if len(glob) > 0 && glob[0] == '*' {
			glob = glob[1:]
			behind, from = glob, name
			continue
		}
		rest, fits := one(glob, name[0])
		switch {
		case fits:
			glob, name = rest, name[1:]
		case behind != nil:
			from = from[1:]
			glob, name = behind, from
		default:
			return false
		}
	}
	return len(bytes.TrimLeft(glob, "*")) == 0
}

// one tells whether c fits what a glob begins with, and what comes behind that.
func one(glob []byte, c byte) (rest []byte, fits bool) {
	switch {
	case len(glob) == 0:
		return nil, false
	case glob[0] == '?':
		return glob[1:], true
	case glob[0] == '[':
		return oneOf(glob[1:], c)
	case glob[0] == '\\' && len(glob) > 1:
		glob = glob[1:]
	}
	return glob[1:], glob[0] == c
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
