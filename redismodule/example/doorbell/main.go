// Command doorbell is a small module that shows how one is written with
// package redismodule: it waits, wakes, keeps what must last in native keys,
// and tells about itself in INFO.
//
//	go build -buildmode=c-shared -o doorbell.so ./redismodule/example/doorbell
//	chmod 0755 doorbell.so
//	redis-server --loadmodule $PWD/doorbell.so
//
//	BELL.WAIT door 5000    (integer) how often door had been rung; nil when 5 s pass in silence
//	BELL.RING door         (integer) how many heard it
package main

import (
	"slices"

	"holdfast/redismodule"
)

func main() {}

func init() { redismodule.Register(&module) }

var module = redismodule.Module{
	Name:    "doorbell",
	Summary: "doors to wait at and to ring",
	Commands: []redismodule.Command{{
		Name:       "bell.wait",
		Summary:    "Waits until a door is rung.",
		Complexity: "O(1)",
		Since:      "1.0.0",
		Arity:      3,
		Flags:      "readonly blocking",
		Categories: "read blocking slow",
		Keys:       []redismodule.KeySpec{{Flags: redismodule.KeyRO | redismodule.KeyAccess, Index: 1}},
		Args: []redismodule.Argument{
			{Name: "door", Type: redismodule.ArgKey},
			{Name: "milliseconds", Type: redismodule.ArgInteger, Summary: "0 waits for ever"},
		},
		Handler: wait,
	}, {
		Name:       "bell.ring",
		Summary:    "Rings a door: everyone who waits there hears it.",
		Complexity: "O(n) with the n who wait",
		Since:      "1.0.0",
		Arity:      2,
		Flags:      "write deny-oom",
		Categories: "write slow",
		Keys:       []redismodule.KeySpec{{Flags: redismodule.KeyRW | redismodule.KeyUpdate, Index: 1}},
		Args:       []redismodule.Argument{{Name: "door", Type: redismodule.ArgKey}},
		Handler:    ring,
	}},
	Configs: []redismodule.Config{{Name: "max-waiters", Summary: "how many may wait at one door", Int: &maxWaiters, Default: 1000, Min: 1, Max: 1 << 20}},
	Load: func(*redismodule.Ctx) error {
		doors, rings = map[door][]*visitor{}, 0
		return nil
	},
	Info: func(w *redismodule.Info) {
		w.Int("rings", rings)
		w.Int("doors_waited_at", int64(len(doors)))
	},
}

type door struct {
	db   int
	name string
}

// Waiters live in memory: their connections go with the server anyway. How
// often a door was rung is a native key, so that it lasts.
var (
	doors      map[door][]*visitor
	rings      int64
	maxWaiters int64
)

// visitor is one client that waits.
type visitor struct {
	blocked *redismodule.Blocked
	at      door
	rung    int64
}

func wait(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	ms, ok := args[2].Int()
	if !ok || ms < 0 || ms > 1<<40 {
		return redismodule.ErrNotInteger
	}
	if !ctx.CanBlock() { // in MULTI or a script: as if the time had run out
		ctx.ReplyNull()
		return nil
	}
	at := door{ctx.DB(), args[1].String()}
	if int64(len(doors[at])) >= maxWaiters {
		return redismodule.Error("BUSYDOOR too many wait here: see doorbell.max-waiters")
	}
	v := &visitor{at: at}
	blocked, err := ctx.Block(ms, v)
	if err != nil {
		return err
	}
	v.blocked = blocked
	doors[at] = append(doors[at], v)
	return nil
}

func ring(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	count := ctx.Cmd("INCR").Arg(args[1]).Call("E")
	defer count.Free()
	if err := count.Err(); err != nil {
		return err // e.g. the key is no number
	}
	rings++
	at := door{ctx.DB(), args[1].String()}
	for _, v := range doors[at] {
		v.rung = count.Int()
		v.blocked.Wake()
	}
	ctx.ReplyInt(int64(len(doors[at])))
	delete(doors, at)
	return nil
}

// leave forgets a visitor, who may have heard the bell already.
func (v *visitor) leave() {
	if i := slices.Index(doors[v.at], v); i >= 0 {
		doors[v.at] = slices.Delete(doors[v.at], i, i+1)
	}
	if len(doors[v.at]) == 0 {
		delete(doors, v.at)
	}
}

// Reply, Timeout and Gone are the three ways a wait can end.
func (v *visitor) Reply(ctx *redismodule.Ctx) { ctx.ReplyInt(v.rung) }

func (v *visitor) Timeout(ctx *redismodule.Ctx) {
	v.leave()
	ctx.ReplyNull()
}

func (v *visitor) Gone(*redismodule.Ctx) { v.leave() }
