package redismodule

/*
#include "bridge.h"
#cgo nocallback hf_direct_set
#cgo nocallback hf_direct_answered
*/
import "C"

import "unsafe"

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
	integers, word := -1, ""
	if r := c.ReadsString; r != nil {
		integers, word = r.Integers, r.Word
	}
	C.hf_direct_set(C.int(slot), C.int(integers), (*C.char)(unsafe.Pointer(unsafe.StringData(word))), C.size_t(len(word)))
}
