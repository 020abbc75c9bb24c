// Command probe is a module that uses every part of package redismodule in the
// plainest way, for the tests of the package.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/redismodule"
)

func main() {}

func init() { redismodule.Register(&module) }

var (
	limit    int64
	verbose  bool
	fired    []string // what the timer and the events told, in order
	waiters  map[string]*waiter
	loads    int64
	timerKey string
	broken   string // the callback that shall panic, once
)

// breaks panics where the test wants it.
func breaks(where string) {
	if broken == where {
		broken = ""
		panic("in " + where)
	}
}

func command(name string, arity int, flags string, h redismodule.Handler, keys ...redismodule.KeySpec) redismodule.Command {
	return redismodule.Command{Name: "probe." + name, Arity: arity, Flags: flags, Handler: h, Keys: keys,
		Summary: "Tries " + name + ".", Since: "1.0.0", Complexity: "O(1)", Categories: "slow"}
}

var key1 = redismodule.KeySpec{Flags: redismodule.KeyRW | redismodule.KeyUpdate | redismodule.KeyAccess, Index: 1}

// short counts a hash's field up, and says so in a second one, unless it is its
// Handler's turn.
var short = func() redismodule.Command {
	c := command("short", -3, "write", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
		ctx.ReplySimple("HANDLER")
		return nil
	}, key1)
	c.Shortcut = &redismodule.Shortcut{
		Call: "HINCRBY $1 $2 $3|2", Then: "HSET $1 then $now",
		Args: 3, Integers: []redismodule.Bounds{{Least: 1, Most: 100}, {Least: 0, Most: 0}}, Key: 1,
		Except: redismodule.Prefix{Arg: 2, Text: "my:"}, Pass: [2]int{1, 2},
	}
	return c
}()

var module = redismodule.Module{
	Name: "probe",
	Commands: []redismodule.Command{
		command("noop", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error { ctx.ReplyInt(1); return nil }),
		command("panic", -1, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			if len(args) > 1 {
				ctx.ReplyInt(1)
			}
			var m map[string]int
			m["x"] = 1
			return nil
		}),
		command("break", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			broken = args[1].String()
			ctx.ReplySimple("OK")
			return nil
		}),
		command("say", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
			l := redismodule.Log.With("at", "home").WithGroup("")
			l.Debug("not unless asked for")
			l.WithGroup("guest").Info("hello", "name", "anna", "age", 7)
			l.Error(strings.Repeat("a line of a long text\n", 100) + "its end")
			ctx.ReplySimple("OK")
			return nil
		}),
		command("error", 2, "fast", func(_ *redismodule.Ctx, args []redismodule.Arg) error { return redismodule.Error(args[1].String()) }),
		command("types", 1, "fast", types),
		command("echo", -1, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.ReplyArray(len(args) - 1)
			for _, a := range args[1:] {
				ctx.ReplyBytes(a.Bytes())
			}
			return nil
		}),
		command("int", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			n, ok := args[1].Int()
			if !ok {
				return redismodule.ErrNotInteger
			}
			ctx.ReplyInt(n)
			return nil
		}),
		command("hput", 5, "write", hput, key1),
		command("hget", 3, "readonly", hget, key1),
		command("hdel", 3, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Open(args[1], redismodule.Write)
			defer k.Close()
			ctx.ReplyBool(k.Type == redismodule.TypeHash && k.HashDel(args[2].Bytes(), -1))
			return nil
		}, key1),
		command("hall", 2, "readonly", hall, key1),
		command("get", 2, "readonly", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Open(args[1], redismodule.Read)
			defer k.Close()
			if k.Type != redismodule.TypeString {
				return redismodule.ErrWrongType
			}
			ctx.ReplyArray(3)
			ctx.ReplyBytes(k.Bytes())
			ctx.ReplyInt(k.ExpireAt)
			ctx.ReplyInt(int64(k.Len()))
			return nil
		}, key1),
		command("del", 2, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Open(args[1], redismodule.Write)
			defer k.Close()
			ctx.ReplyBool(k.Delete())
			return nil
		}, key1),
		command("look", 2, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Open(args[1], redismodule.Write)
			defer k.Close()
			ctx.ReplyInt(int64(k.Type))
			return nil
		}, key1),
		command("call", -3, "write", call(func(ctx *redismodule.Ctx, r redismodule.Reply) { ctx.Reply(r); r.Free() })),
		command("callraw", -3, "write", call(func(ctx *redismodule.Ctx, r redismodule.Reply) { ctx.ReplyRaw(r.Raw()); r.Free() })),
		command("calllast", -3, "write", call((*redismodule.Ctx).ReplyLast)),
		command("after", 5, "readonly", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Open(args[1], redismodule.Read)
			defer k.Close()
			ms, _ := args[2].Int()
			seq, _ := args[3].Int()
			most, _ := args[4].Int()
			ctx.ReplyInt(int64(k.EntriesAfter(uint64(ms), uint64(seq), int(most))))
			return nil
		}, key1),
		short,
		command("pass", -3, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			var guard []byte
			if len(args) > 3 {
				guard = args[3].Bytes()
			}
			id := redismodule.Pass("probe.short", ctx.DB(), args[1].Bytes(), args[2].Bytes())
			shut, uses := redismodule.OpenPass(id, guard, len(args) < 5)
			ctx.ReplyArray(2)
			ctx.ReplyBool(shut != 0 && shut != id)
			ctx.ReplyInt(uses)
			return nil
		}),
		command("shut", 3, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			id := redismodule.Pass("probe.short", ctx.DB(), args[1].Bytes(), args[2].Bytes())
			ctx.ReplyInt(redismodule.UsesOfPass(id) + redismodule.ShutPass(id))
			return nil
		}),
		command("hold", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.ReplyInt(int64(ctx.Hold(ctx.DB(), args[1].Bytes())))
			return nil
		}),
		command("letgo", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.LetGo(redismodule.KeyID(ctx.DB(), args[1].Bytes()))
			ctx.ReplyInt(int64(redismodule.Direct("probe.short")))
			return nil
		}),
		command("watch", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.Watch(ctx.DB(), args[1].Bytes())
			ctx.ReplyInt(int64(ctx.Watched()))
			return nil
		}),
		command("unwatch", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.Unwatch(ctx.DB(), args[1].Bytes())
			ctx.ReplyInt(int64(ctx.Watched()))
			return nil
		}),
		command("watchme", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
			ctx.WatchClient(ctx.ClientID())
			ctx.ReplyInt(int64(ctx.ClientID()))
			return nil
		}),
		command("log", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
			ctx.ReplyArray(len(fired))
			for _, f := range fired {
				ctx.ReplyString(f)
			}
			return nil
		}),
		command("timer", 3, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ms, _ := args[1].Int()
			timerKey = args[2].String()
			ctx.SetTimer(ctx.Now() + ms)
			ctx.ReplySimple("OK")
			return nil
		}),
		command("wait", 3, "blocking", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			if !ctx.CanBlock() {
				ctx.ReplySimple("CANNOT")
				return nil
			}
			ms, _ := args[2].Int()
			w := &waiter{name: args[1].String()}
			waiters[w.name] = w
			w.b = ctx.Block(ms, w)
			return nil
		}),
		command("wake", -2, "", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			woken := int64(0)
			for _, a := range args[1:] {
				if w := waiters[a.String()]; w != nil && w.b.Wake() {
					woken++
				}
			}
			ctx.ReplyInt(woken)
			return nil
		}),
		command("scan", 2, "readonly", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			var s redismodule.Scan
			t, _ := args[1].Int()
			n := 0
			for more := true; more; {
				more = s.Step(ctx, 10, redismodule.KeyType(t), func([]byte) { n++ })
			}
			ctx.ReplyInt(int64(n))
			return nil
		}),
	},
	Configs: []redismodule.Config{
		{Name: "limit", Summary: "an integer", Int: &limit, Default: 7, Min: 1, Max: 1000},
		{Name: "verbose", Summary: "a switch", Bool: &verbose},
	},
	Changed: func() { fired = append(fired, fmt.Sprint("limit ", limit)) },
	Load: func(*redismodule.Ctx) error {
		fired, waiters, timerKey = nil, map[string]*waiter{}, ""
		loads++
		breaks("load")
		if limit == 666 {
			return fmt.Errorf("limit %d is not for us", limit)
		}
		return nil
	},
	Unload: func(*redismodule.Ctx) error {
		breaks("unload")
		return nil
	},
	Info: func(w *redismodule.Info) {
		breaks("info")
		w.Int("loads", loads)
		w.Int("limit", limit)
		w.Float("half", 0.5)
		w.String("verbose", strconv.FormatBool(verbose))
		w.Section("more")
		w.Int("waiters", int64(len(waiters)))
	},
	Timer: func(ctx *redismodule.Ctx) {
		breaks("timer")
		if timerKey != "" {
			_ = ctx.Cmd("EXISTS").Str(timerKey).Do("")
			r := ctx.Cmd("INCR").Str(timerKey).Call("")
			r.Free()
			fired = append(fired, "timer")
		}
	},
	KeyEvents: redismodule.EventGeneric | redismodule.EventString | redismodule.EventExpired,
	KeyEvent: func(_ *redismodule.Ctx, event string, key []byte) {
		breaks("key event")
		fired = append(fired, event+" "+string(key))
	},
	ClientGone: func(_ *redismodule.Ctx, id uint64) { fired = append(fired, fmt.Sprint("gone ", id)) },
	FlushDB: func(_ *redismodule.Ctx, db int) {
		breaks("flush")
		fired = append(fired, fmt.Sprint("flush ", db))
	},
	SwapDB:      func(_ *redismodule.Ctx, a, b int) { fired = append(fired, fmt.Sprint("swap ", a, " ", b)) },
	Loaded:      func(*redismodule.Ctx) { fired = append(fired, "loaded") },
	RoleChanged: func(_ *redismodule.Ctx, primary bool) { fired = append(fired, fmt.Sprint("primary ", primary)) },
}

type waiter struct {
	name string
	b    *redismodule.Blocked
}

func (w *waiter) Reply(ctx *redismodule.Ctx) {
	breaks("reply")
	fired = append(fired, "reply "+w.name)
	ctx.ReplyInt(1)
}
func (w *waiter) Timeout(ctx *redismodule.Ctx) {
	breaks("timeout")
	fired = append(fired, "timeout "+w.name)
	ctx.ReplyNull()
}
func (w *waiter) Gone(ctx *redismodule.Ctx) {
	breaks("gone")
	fired = append(fired, "lost "+w.name)
	ctx.SetTimer(0)
}

func types(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
	ctx.ReplyArray(9)
	ctx.ReplyInt(-1 << 63)
	ctx.ReplyString("")
	ctx.ReplyBytes([]byte("a\x00\r\nb"))
	ctx.ReplySimple("OK")
	ctx.ReplyNull()
	ctx.ReplyNullArray()
	ctx.ReplyMap(1)
	ctx.ReplyString("k")
	ctx.ReplyDouble(0.5)
	ctx.ReplyArrayLater()
	ctx.ReplyBool(true)
	ctx.ReplyMapLater()
	ctx.EndMap(0)
	ctx.EndArray(2)
	ctx.ReplyArray(0)
	return nil
}

func hput(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	k := ctx.Open(args[1], redismodule.Write)
	defer k.Close()
	if k.Type != redismodule.TypeNone && k.Type != redismodule.TypeHash {
		return redismodule.ErrWrongType
	}
	at, _ := args[4].Int()
	k.HashPutArg(args[2], args[3].Bytes(), at)
	ctx.ReplySimple("OK")
	return nil
}

func hget(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	k := ctx.Open(args[1], redismodule.Read)
	defer k.Close()
	if k.Type != redismodule.TypeHash {
		return redismodule.ErrWrongType
	}
	v, ok := k.HashGetArg(args[2], make([]byte, 0, 4))
	if !ok {
		ctx.ReplyNull()
		return nil
	}
	ctx.ReplyBytes(v)
	return nil
}

func hall(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	k := ctx.Open(args[1], redismodule.Read)
	defer k.Close()
	n := 0
	ctx.ReplyMapLater()
	if k.Type == redismodule.TypeHash {
		k.HashEach(func(f, v []byte) bool {
			ctx.ReplyBytes(f)
			ctx.ReplyBytes(v)
			n++
			return true
		})
	}
	ctx.EndMap(n)
	return nil
}

// call runs `PROBE.CALL flags command [argument …]`; answer passes the reply on.
func call(answer func(*redismodule.Ctx, redismodule.Reply)) redismodule.Handler {
	return func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		c := ctx.Cmd(args[2].String())
		for i, a := range args[3:] {
			if i%2 == 0 {
				c.Arg(a)
			} else {
				c.Arg(redismodule.Text(a.Bytes()))
			}
		}
		r := c.Call(args[1].String())
		if err := r.Err(); err != nil {
			r.Free()
			return err
		}
		answer(ctx, r)
		return nil
	}
}
