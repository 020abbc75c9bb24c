// Package redismodule lets Redis and Valkey modules be written in Go.
//
// A module is one literal: its commands with their documentation, its settings,
// and the functions that the server calls.
//
//	func init() {
//		redismodule.Register(&redismodule.Module{
//			Name: "hello",
//			Commands: []redismodule.Command{{
//				Name: "hello.to", Arity: 2, Flags: "fast",
//				Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
//					ctx.ReplyString("hello, " + args[1].String())
//					return nil
//				},
//			}},
//		})
//	}
//
//	func main() {} // never called
//
// Build it with go build -buildmode=c-shared, give it execute permission (the
// server refuses a library without), and load it by its absolute path. See the
// example directory for a module that waits, watches keys and has a timer.
//
// # What to know before writing one
//
// Everything runs on the server's main thread, inside a callback, while the
// whole server waits. There are no locks to take and no races to fear, and
// nothing may be slow. Start no goroutines: one that panics ends the server,
// and none may touch it.
//
// Keep all that must last in the server's native types. Go cannot run in the
// child that the server forks to write an RDB or AOF, so there are no module
// data types here; and data in native types is readable without the module.
//
// What a command writes must reach replicas and the AOF as native commands with
// absolute times: the writing methods of Key do so, and so does Cmd.Call. All
// that one callback writes arrives as one transaction.
//
// A panic in a callback is logged with its stack, and the command it cut off
// answers an error. Where part of an array had been answered, the rest is missing.
//
// An Arg, a Ctx, a Key and the bytes they give belong to the callback. Copy what
// must outlive it. Memory that Go holds is not counted in used_memory.
//
// A process may hold one Go runtime only: put all your modules into one
// library. Go needs glibc here; musl (Alpine) cannot load such a library.
//
// The oldest servers are Redis 7.0.8 and Valkey 7.2.4.
package redismodule
