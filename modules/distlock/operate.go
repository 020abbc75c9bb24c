package distlock

import (
	"strconv"

	"holdfast/redismodule"
)

var breakCommand = redismodule.Command{
	Name:       "lock.break",
	Summary:    "Takes a lock from its holders by force and serves those who wait.",
	Complexity: "O(N) for N holders",
	Since:      "1.0.0",
	Arity:      -2,
	Flags:      "write",
	Categories: "write dangerous slow",
	Keys:       lockKey(redismodule.KeyRW | redismodule.KeyDelete),
	Args: []redismodule.Argument{
		nameArgument,
		{Name: "owner", Optional: true, Summary: "Take it from this one only, and end its waits for it."},
	},
	Reply: "From how many holders it was taken.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		if len(args) > 3 {
			ctx.ReplyWrongArity()
			return nil
		}
		owner := []byte(nil)
		if len(args) == 3 {
			if owner = args[2].Bytes(); owner == nil {
				owner = []byte{}
			}
		}
		store.enterCommand(ctx, args[1], redismodule.Arg{})
		defer store.leave()
		n, err := table.Break(ctx.Now(), ctx.DB(), args[1].Bytes(), owner)
		rearm(ctx)
		if err != nil {
			return refusal(err)
		}
		ctx.ReplyInt(int64(n))
		return nil
	},
}

var fenceCommand = redismodule.Command{
	Name:       "lock.fence",
	Summary:    "Lets a fencing token pass unless a greater one has passed this guard: the checking half of fencing.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      3,
	Flags:      "write deny-oom fast",
	Categories: "write fast",
	Keys:       []redismodule.KeySpec{{Flags: redismodule.KeyRW | redismodule.KeyUpdate, Index: 1}},
	Args: []redismodule.Argument{
		{Name: "guard", Type: redismodule.ArgKey, Summary: "A string that keeps the greatest token seen; any expiry it has stays."},
		{Name: "token", Type: redismodule.ArgInteger},
	},
	Reply:   "1 when no greater token has passed, and this one is remembered; 0 when it is stale.",
	Handler: fence,
}

func fence(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	token, ok := args[2].Int()
	if !ok {
		return redismodule.ErrNotInteger
	}
	if token <= 0 {
		return redismodule.Error("ERR a fencing token is a positive integer, as LOCK.ACQUIRE … WITHTOKEN answers it")
	}
	seen, err := greatest(ctx, args[1])
	if err != nil {
		return err
	}
	if token > seen {
		if err := ctx.Cmd("SET").Arg(args[1]).Int(token).Str("KEEPTTL").Do("E"); err != nil {
			return err
		}
	}
	ctx.ReplyBool(token >= seen)
	return nil
}

// greatest is the token that a guard keeps, 0 if none has passed yet.
func greatest(ctx *redismodule.Ctx, guard redismodule.Arg) (int64, error) {
	k := ctx.Look(guard)
	defer k.Close()
	switch k.Type {
	case redismodule.TypeNone:
		return 0, nil
	case redismodule.TypeString:
		value, _ := k.String(nil)
		seen, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return 0, redismodule.ErrNotInteger
		}
		return seen, nil
	}
	return 0, redismodule.ErrWrongType
}
