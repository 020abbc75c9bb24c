// Package taskqueue is the task queue: the module literal and its handlers. The
// queues are native streams; who waits for them is in package dispatch.
package taskqueue

import "holdfast/redismodule"

// The module's settings.
var (
	keepAcked bool
	maxCount  int64
)

// Module is the task queue.
var Module = redismodule.Module{
	Name:     "taskqueue",
	Version:  1,
	Summary:  "A task queue on native streams: consumers are handed tasks as they come, with leases, delays, retries, dead letters and fencing.",
	Commands: commands,
	Configs: []redismodule.Config{
		{
			Name: "keep-acked", Bool: &keepAcked, Default: 0,
			Summary: "Keep entries that every group of their stream has acknowledged; no deletes them, so that a queue does not grow for ever.",
		},
		{
			Name: "max-count", Int: &maxCount, Default: 10_000, Min: 1, Max: 1_000_000,
			Summary: "The most tasks one TASK.CONSUME or TASK.REDRIVE takes, whatever it asks for.",
		},
	},
	Load:         load,
	Changed:      func() { tasks.passes.shutAll() },
	Info:         info,
	Timer:        timer,
	ReplicaTimer: replicaTimer,
	KeyEvents:    redismodule.EventStream | redismodule.EventGeneric | redismodule.EventZSet | redismodule.EventString | redismodule.EventHash,
	KeyEvent:     keyEvent,
	CatchUp:      catchUp,
	Harmless:     harmless,
	KeySuffix:    ":" + delayedKey,
	FlushDB:      flushDB,
	SwapDB:       swapDB,
	SlotsMoved:   slotsMoved,
	Loaded:       loaded,
	RoleChanged:  roleChanged,
}
