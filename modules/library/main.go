// Command library is libholdfast.so: the one Go runtime that all modules of
// Holdfast share. redis-server loads cachelock.so, taskqueue.so or distlock.so,
// a few lines of C each (entry.c), which hand over to it.
package main

import (
	"holdfast/modules/cachelock"
	"holdfast/modules/distlock"
	"holdfast/modules/taskqueue"
	"holdfast/redismodule"
)

func init() {
	redismodule.Register(&cachelock.Module)
	redismodule.Register(&taskqueue.Module)
	redismodule.Register(&distlock.Module)
}

func main() {} // a library has none, the compiler wants one
