package cachelock

import (
	"math"

	"holdfast/modules/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

var loadsCommand = redismodule.Command{
	Name:       "cache.loads",
	Summary:    "Lists the loads that go on in this database of keys that the user may read, those with the most waiters first.",
	Complexity: "O(N*log(N)) for the N keys that clients wait for, and the last 1,024 loads",
	Since:      "1.0.0",
	Arity:      -1,
	Flags:      "readonly",
	Categories: "read slow",
	Args: []redismodule.Argument{
		{Name: "n", Type: redismodule.ArgInteger, Token: "COUNT", Optional: true, Summary: "How many to list at most, 100 by default."},
	},
	Reply: "An array of maps: key, age_ms, left_ms (of the time in which the loader is alone), waiters. " +
		"It has the loads that somebody waits for, and of the others those among the last 1,024 begun whose names are of 512 bytes at most. A replica knows of none.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) (err error) {
		count, given := int64(100), false
		for o := syntax.NewOptions(args[1:]); err == nil && o.Next(); given = true {
			if !o.Is("COUNT") || given {
				return redismodule.ErrSyntax
			}
			count, err = syntax.Int(o.Value(), 1, 1<<31)
			if o.Err() != nil {
				return o.Err()
			}
		}
		if err != nil {
			return err
		}
		var loads []leasetable.Loading
		for _, l := range table.Loads(ctx.DB(), ctx.Now(), math.MaxInt32) {
			if int64(len(loads)) == count {
				break
			}
			if ctx.KeyAllowed(l.Name, redismodule.KeyAccess) {
				loads = append(loads, l)
			}
		}
		ctx.ReplyArray(len(loads))
		for _, l := range loads {
			ctx.ReplyMap(4)
			ctx.ReplyString("key")
			ctx.ReplyBytes(l.Name)
			field(ctx, "age_ms", l.Lease.Age)
			field(ctx, "left_ms", l.Lease.Left)
			field(ctx, "waiters", int64(l.Waiters))
		}
		return nil
	},
}
