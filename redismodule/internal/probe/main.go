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
	heard    []redismodule.KeyedChange
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

// usual is a command that has a fast path. Its Handler tells that it was called.
func usual(name string, arity int, key redismodule.KeySpec) redismodule.Command {
	c := command("", arity, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		ctx.Read(args[1]).Close()
		ctx.ReplySimple("HANDLER")
		return nil
	}, key)
	c.Name = name
	return c
}

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
			redismodule.Log(redismodule.LevelDebug, "not unless asked for")
			redismodule.Log(redismodule.LevelNotice, "hello to anna")
			redismodule.Log(redismodule.LevelWarning, strings.Repeat("a line of a long text\n", 100)+"its end")
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
			k := ctx.Write(args[1])
			defer k.Close()
			ctx.ReplyBool(k.Type == redismodule.TypeHash && k.HashDel(args[2], -1))
			return nil
		}, key1),
		command("zrem", 3, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Write(args[1])
			defer k.Close()
			ctx.ReplyBool(k.ZSetRem(args[2].Bytes()))
			return nil
		}, key1),
		command("add", -2, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			cmd := ctx.Cmd("XADD").Arg(args[1]).Str("*")
			for i, a := range args[2:] {
				if i%2 == 0 {
					cmd.Arg(a)
				} else {
					cmd.Bytes(a.Bytes())
				}
			}
			if e, ok := cmd.AddEntry(); ok && string(e.ID) == fmt.Sprintf("%d-%d", e.Ms, e.Seq) {
				ctx.ReplyBytes(e.ID)
			} else {
				ctx.ReplyNull()
			}
			return nil
		}, key1),
		command("hall", 2, "readonly", hall, key1),
		command("get", 2, "readonly", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Read(args[1])
			defer k.Close()
			if k.Type != redismodule.TypeString {
				return redismodule.ErrWrongType
			}
			v, _ := k.String(nil)
			ctx.ReplyArray(3)
			ctx.ReplyBytes(v)
			ctx.ReplyInt(k.ExpireAt)
			ctx.ReplyInt(int64(k.Len()))
			return nil
		}, key1),
		command("del", 2, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Write(args[1])
			defer k.Close()
			ctx.ReplyBool(k.Delete())
			return nil
		}, key1),
		command("look", 2, "write", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Write(args[1])
			defer k.Close()
			ctx.ReplyInt(int64(k.Type))
			return nil
		}, key1),
		command("call", -3, "write", call(func(ctx *redismodule.Ctx, r redismodule.Reply) { ctx.Reply(r); r.Free() })),
		command("callraw", -3, "write", call(func(ctx *redismodule.Ctx, r redismodule.Reply) { ctx.ReplyRaw(r.Raw()); r.Free() })),
		command("calllast", -3, "write", call((*redismodule.Ctx).ReplyLast)),
		command("after", 5, "readonly", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Read(args[1])
			defer k.Close()
			ms, _ := args[2].Int()
			seq, _ := args[3].Int()
			most, _ := args[4].Int()
			ctx.ReplyInt(int64(k.EntriesAfter(uint64(ms), uint64(seq), int(most))))
			return nil
		}, key1),
		command("lookat", 2, "readonly", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			k := ctx.Look(args[1])
			v, _ := k.HashGet(args[1], nil)
			ctx.ReplyInt(int64(k.Type) + int64(len(v)))
			return nil
		}, key1),
		command("misuse", 2, "write", misuse, key1),
		command("allowed", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.ReplyBool(ctx.KeyAllowed(args[1].Bytes(), redismodule.KeyInsert))
			return nil
		}),
		usual("task.publish", -3, key1),
		usual("task.consume", -4, redismodule.KeySpec{Flags: key1.Flags, Index: 3}),
		usual("task.ack", -4, key1),
		usual("cache.get", 2, key1),
		// probe.pass command stream group [guard [alone | logged]] opens a pass that hangs on the stream.
		command("pass", -4, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			var guard []byte
			if len(args) > 4 {
				guard = args[4].Bytes()
			}
			id := redismodule.Pass(args[1].String(), ctx.DB(), args[2].Bytes(), args[3].Bytes())
			flags := redismodule.PassThen
			if len(args) > 5 && args[5].Is("ALONE") {
				flags = 0
			} else if len(args) > 5 {
				flags |= redismodule.PassLogged
			}
			shut, uses := redismodule.OpenPass(id, ctx.KeyID(ctx.DB(), args[2].Bytes()), guard, flags)
			ctx.ReplyArray(2)
			ctx.ReplyBool(shut != 0 && shut != id)
			ctx.ReplyInt(uses)
			return nil
		}),
		// probe.room stream key n opens a room for n tasks.
		command("room", 4, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			id := redismodule.Pass("task.publish", ctx.DB(), args[1].Bytes(), args[2].Bytes())
			place, left := redismodule.OpenRoom(id, ctx.KeyID(ctx.DB(), args[1].Bytes()))
			*left, _ = args[3].Int()
			ctx.ReplyInt(int64(place))
			return nil
		}),
		// probe.heard tells the ids that the fast path added and acknowledged since it was asked last.
		command("heard", 1, "fast", func(ctx *redismodule.Ctx, _ []redismodule.Arg) error {
			ctx.ReplyArray(len(heard))
			for _, c := range heard {
				sign := "+"
				if c.Room < 0 {
					sign = "-"
				}
				ctx.ReplyString(fmt.Sprint(sign, c.Ms, "-", c.Seq))
			}
			heard = nil
			return nil
		}),
		command("shut", 4, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			id := redismodule.Pass(args[1].String(), ctx.DB(), args[2].Bytes(), args[3].Bytes())
			ctx.ReplyInt(redismodule.UsesOfPass(id) + redismodule.ShutPass(id))
			return nil
		}),
		command("hold", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			ctx.ReplyInt(int64(ctx.Hold(ctx.DB(), args[1].Bytes())))
			return nil
		}),
		command("letgo", 2, "fast", func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
			redismodule.LetGo(ctx.KeyID(ctx.DB(), args[1].Bytes()))
			ctx.ReplyInt(int64(redismodule.Direct("task.publish")))
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
			b, err := ctx.Block(ms, w)
			if err != nil {
				return err
			}
			waiters[w.name], w.b = w, b
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
				more = s.Step(ctx, 10, func([]byte) { n++ }, redismodule.KeyType(t))
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
		fired, waiters, timerKey, heard = nil, map[string]*waiter{}, "", nil
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
	KeyEvents: redismodule.EventGeneric | redismodule.EventString | redismodule.EventExpired | redismodule.EventStream,
	KeySuffix: ":probed",
	Harmless:  []string{"xadd", "xdel"},
	CatchUp: func(log []redismodule.KeyedChange) {
		breaks("catch up")
		heard = append(heard, log...)
	},
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
	k := ctx.Write(args[1])
	defer k.Close()
	if k.Type != redismodule.TypeNone && k.Type != redismodule.TypeHash {
		return redismodule.ErrWrongType
	}
	at, _ := args[4].Int()
	k.HashPut(args[2], args[3].Bytes(), at)
	ctx.ReplySimple("OK")
	return nil
}

func hget(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	k := ctx.Read(args[1])
	defer k.Close()
	if k.Type != redismodule.TypeHash {
		return redismodule.ErrWrongType
	}
	v, ok := k.HashGet(args[2], make([]byte, 0, 4))
	if !ok {
		ctx.ReplyNull()
		return nil
	}
	ctx.ReplyBytes(v)
	return nil
}

func hall(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	k := ctx.Read(args[1])
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

type id struct{ Ms, Seq uint64 }

var (
	kept  redismodule.Writer
	left  redismodule.Reader
	event = redismodule.NewEvent("probed")
)
