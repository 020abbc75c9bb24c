// Command gomodule is a library with a module that does in Go what cmodule does
// in C, so that the two can be compared; and with the modules of Holdfast, so that
// their calls out of Go can be counted.
package main

import (
	"runtime"

	"holdfast/modules/cachelock"
	"holdfast/modules/distlock"
	"holdfast/modules/taskqueue"
	"holdfast/redismodule"
)

func main() {}

func init() {
	redismodule.Register(&module)
	redismodule.Register(&cachelock.Module)
	redismodule.Register(&taskqueue.Module)
	redismodule.Register(&distlock.Module)
}

var key = redismodule.KeySpec{Flags: redismodule.KeyRW | redismodule.KeyUpdate | redismodule.KeyAccess, Index: 1}

func command(name string, arity int, flags string, h redismodule.Handler, keys ...redismodule.KeySpec) redismodule.Command {
	return redismodule.Command{Name: "gonoop." + name, Arity: arity, Flags: flags, Handler: h, Keys: keys,
		Summary: "Measures " + name + ".", Since: "1.0.0", Complexity: "O(1)", Categories: "slow"}
}

var module = redismodule.Module{
	Name:    "gonoop",
	Version: 1,
	Commands: []redismodule.Command{
		command("noop", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
			ctx.ReplyInt(1)
			return nil
		}),
		// get name: as GET.
		command("get", 2, "readonly fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Read(args[1])
			defer k.Close()
			if k.Type != redismodule.TypeString {
				ctx.ReplyNull()
				return nil
			}
			value, _ := k.String(nil)
			ctx.ReplyBytes(value)
			return nil
		}, key),
		// acquire name owner ttl_ms: a hash with one field, expiring, replicated.
		command("acquire", 4, "write deny-oom fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ttl, ok := args[3].Int()
			if !ok {
				return redismodule.ErrNotInteger
			}
			k := ctx.Write(args[1])
			defer k.Close()
			if k.Type != redismodule.TypeNone {
				ctx.ReplyInt(0)
				return nil
			}
			k.HashPut(args[2], args[3].Bytes(), ctx.Now()+ttl)
			ctx.ReplyInt(1)
			return nil
		}, key),
		// calls: how often Go called C in this process so far.
		command("calls", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
			ctx.ReplyInt(runtime.NumCgoCall())
			return nil
		}),
	},
}
