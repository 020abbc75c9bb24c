package redismodule

/*
#include "bridge.h"
#cgo nocallback hf_direct_set
#cgo nocallback hf_direct_answered
*/
import "C"

// Direct is how many calls of a command were answered without its Handler
// since its module was loaded (see Command.ReadsString).
func Direct(command string) int {
	for i := range commands {
		if commands[i].Name == command {
			return int(C.hf_direct_answered(C.int(i)))
		}
	}
	return 0
}

func (c *Command) direct(slot int) {
	on := C.int(0)
	if c.ReadsString {
		on = 1
	}
	C.hf_direct_set(C.int(slot), on)
}
