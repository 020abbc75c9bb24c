package distlock

import (
	"math"

	"holdfast/modules/internal/locktable"
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
		{Name: "owner", Token: "OWNER", Optional: true, Summary: "Only locks that this owner holds or waits for."},
		{Name: "withinfo", Type: redismodule.ArgToken, Token: "WITHINFO", Optional: true, Summary: "Answers a map for each lock instead of its name."},
	},
	Reply: "[cursor, [name …]] of locks that are held or waited for and whose keys the user may read; the walk is at its end when the cursor is 0. " +
		"A lock that is there all the while is named at least once. A client's SET NX PX is named only where somebody waits for it. " +
		"With WITHINFO each is a map of name, holding and waiting (how many do) and what LOCK.INFO tells, with up to 100 holders and waiters each.",
	Handler: list,
}

type listOptions struct {
	count        int64
	cursor, glob []byte
	owner        []byte // nil for all
	withInfo     bool
}

func (l *listOptions) read(args []redismodule.Arg) (err error) {
	l.count, l.cursor, l.glob = 100, []byte("0"), []byte("*")
	for o := syntax.NewOptions(args); err == nil && o.Next(); {
		switch {
		case o.Is("MATCH"):
			l.glob = o.Value().Bytes()
		case o.Is("CURSOR"):
			l.cursor = o.Value().Bytes()
		case o.Is("COUNT"):
			l.count, err = syntax.Int(o.Value(), 1, math.MaxInt32)
		case o.Is("OWNER"):
			l.owner = append([]byte{}, o.Value().Bytes()...)
		case o.Is("WITHINFO"):
			l.withInfo = true
		default:
			o.Unknown()
		}
		if o.Err() != nil {
			return o.Err()
		}
	}
	return err
}

// list walks the keyspace and not the table, because the keyspace knows the
// holders: after a restart, a promotion, and on a replica.
func list(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	var l listOptions
	if err := l.read(args[1:]); err != nil {
		return err
	}
	cursor, keys, err := l.scan(ctx)
	if err != nil {
		return err
	}
	store.enterCommand(ctx, redismodule.Arg{}, redismodule.Arg{})
	defer store.leave()
	now, db := ctx.Now(), ctx.DB()
	var names [][]byte
	for _, name := range keys {
		if mayBeLock(ctx, name) && (table.IsHeld(now, db, name, l.owner) || l.owner != nil && table.WaitsFor(db, name, l.owner)) &&
			ctx.KeyAllowed(name, redismodule.KeyAccess) {
			names = append(names, name)
		}
	}
	if string(l.cursor) == "0" { // those that only wait may have no key to be found by
		table.Contended(db, func(name string) {
			n := []byte(name)
			if syntax.Matches(l.glob, n) && (l.owner == nil || table.WaitsFor(db, n, l.owner)) && !table.IsHeld(now, db, n, nil) && ctx.KeyAllowed(n, redismodule.KeyAccess) {
				names = append(names, n)
			}
		})
	}
	ctx.ReplyArray(2)
	ctx.ReplyBytes(cursor)
	ctx.ReplyArray(len(names))
	for _, name := range names {
		if !l.withInfo {
			ctx.ReplyBytes(name)
			continue
		}
		in, _ := inspect(now, db, name, mostListed)
		ctx.ReplyMap(8)
		ctx.ReplyString("name")
		ctx.ReplyBytes(name)
		ctx.ReplyString("holding")
		ctx.ReplyInt(int64(in.holding))
		ctx.ReplyString("waiting")
		ctx.ReplyInt(int64(in.waiting))
		in.reply(ctx)
	}
	return nil
}

// mostListed is how many holders and how many waiters of a lock a list tells of.
const mostListed = 100

// scan is one step of SCAN. What it answers is copied, so that locks can be
// opened.
func (l *listOptions) scan(ctx *redismodule.Ctx) (cursor []byte, keys [][]byte, err error) {
	reply := ctx.Cmd("SCAN").Bytes(l.cursor).Str("MATCH").Bytes(l.glob).Str("COUNT").Int(l.count).Call("E")
	defer reply.Free()
	if err := reply.Err(); err != nil {
		return nil, nil, err
	}
	for i, found := 0, reply.Elem(1); i < found.Len(); i++ {
		keys = append(keys, append([]byte{}, found.Elem(i).Bytes()...))
	}
	return append([]byte{}, reply.Elem(0).Bytes()...), keys, nil
}

// The lengths of a string that is a lock of ours: the words and numbers before
// its owner have at least so many letters.
const (
	shortestText = 41
	longestText  = locktable.MaxRecord
)

// mayBeLock looks at what a key is, and not yet at what it holds.
func mayBeLock(ctx *redismodule.Ctx, name []byte) bool {
	k := ctx.Look(redismodule.Text(name))
	defer k.Close()
	switch k.Type {
	case redismodule.TypeHash:
		return true
	case redismodule.TypeString:
		return k.ExpireAt >= 0 && k.Len() >= shortestText && k.Len() <= longestText
	}
	return false
}
