package main

import (
	"fmt"

	"holdfast/redismodule"
)

// misuse calls every method of the binding on a key, in the order in which no module
// would: absent, of another type, closed before, closed twice, kept beyond a callback.
func misuse(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	name, field := args[1], redismodule.Text([]byte("field"))
	empty := redismodule.Arg{}
	readers := []redismodule.Reader{{}, ctx.Read(name), ctx.Look(name), ctx.Read(redismodule.Text(name.Bytes())), ctx.Look(empty), kept.Reader}
	writers := []redismodule.Writer{{}, ctx.Write(name), kept, {Reader: readers[1]}, {Reader: readers[2]}}
	refused := false
	func() {
		defer func() { refused = refused || recover() != nil }()
		refused = ctx.Cmd("PING").Do("") != nil // while keys are open
	}()
	for range 2 {
		for _, w := range writers {
			readers = append(readers, w.Reader)
			w.Notify(redismodule.EventModule, redismodule.EventName{})
			w.Notify(redismodule.EventModule, event)
			w.HashPut(field, []byte("value"), -1)
			w.HashPut(empty, nil, 0)
			w.HashDel(field, -1)
			w.ZSetRem([]byte("a"))
			w.ZSetRem(nil)
			w.HashDel(empty, 1)
			w.SetExpireAt(-1)
			w.SetExpireAt(1 << 62)
			w.HashDel(empty, 1<<62)
			w.Delete()
			w.Delete()
			w.HashEach(func(_, _ []byte) bool { w.Close(); return true })
		}
		for _, r := range readers {
			_ = r.Len()
			_, _ = r.String(nil)
			_, _ = r.HashGet(field, nil)
			_, _ = r.HashGet(empty, nil)
			_, _ = r.HashAny(nil, -1)
			r.HashEach(func(_, _ []byte) bool { return true })
			_ = r.EntriesAfter(0, 0, 10)
			_ = redismodule.Head(r, []id{{1, 1}})
			r.Close()
			r.Close()
		}
	}
	kept = ctx.Write(name)
	kept.Close()
	if !refused {
		return fmt.Errorf("a call was made while keys were open")
	}

	reply := ctx.Cmd("LRANGE").Arg(redismodule.Text([]byte("list"))).Int(0).Int(-1).Call("")
	for _, r := range []redismodule.Reply{{}, reply, reply.Elem(0), reply.Elem(99), reply.Elem(-1), redismodule.Reply{}.Elem(0)} {
		_, _, _, _, _, _ = r.Type(), r.Len(), r.Int(), r.Bytes(), r.Raw(), r.Err()
		if r.Elem(0).Elem(0).Type() != redismodule.ReplyNone && r.Type() != redismodule.ReplyArray {
			return fmt.Errorf("an element of an element")
		}
		r.Free()
		r.Free()
		_, _, _, _, _, _ = r.Type(), r.Len(), r.Int(), r.Bytes(), r.Raw(), r.Err()
	}
	for _, panics := range []func(){
		func() { ctx.Reply(reply) },
		func() { ctx.ReplyLast(reply) },
		func() { ctx.ReplyArray(-1) },
		func() { ctx.ReplyMap(-2) },
		func() { ctx.EndArray(-1) },
		func() { ctx.EndMap(-1) },
		func() { ctx.Cmd("PING").Call("s") },
		func() { new(redismodule.Ctx).Read(name) },
		func() { new(redismodule.Ctx).ReplyInt(1) },
		func() { (&redismodule.Blocked{}).Wake() },
	} {
		func() {
			defer func() { _ = recover() }()
			panics()
		}()
	}
	_ = ctx.Cmd("").Do("")
	_ = ctx.Cmd("a\x00b").Str("c").Do("")
	_ = ctx.Exists(empty)
	_ = ctx.KeyAllowed(nil, redismodule.KeyRO)
	redismodule.Unwatch(12345)
	redismodule.LetGo(0)
	redismodule.ShutPass(12345)
	ctx.Unwatch(3, nil)
	ctx.SelectDB(-1)
	ctx.SelectDB(99999)
	var s, t redismodule.Scan
	s.Step(ctx, -1, func([]byte) {})
	s.Step(ctx, 1, func([]byte) {})
	t = s
	s.Close()
	t.Step(ctx, 1, func([]byte) {})
	t.Close()
	s.Close()
	left = ctx.Read(name) // left open, and so is this reply
	ctx.Cmd("PING").Call("")
	ctx.ReplyRaw([]byte("$99\r\nshort"))
	ctx.ReplyRaw([]byte("*"))
	ctx.ReplyRaw([]byte(":1"))
	ctx.ReplyRaw(nil)
	ctx.ReplySimple("SURVIVED")
	if _, err := ctx.Block(1, nil); err == nil {
		return fmt.Errorf("a client was blocked that has its reply")
	}
	return nil
}
