package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
#cgo nocallback hf_direct_set
#cgo nocallback hf_direct_answered
*/
import "C"

import "unsafe"

// Direct is how many calls of a command were answered without its Handler
// since its module was loaded (see Command.ReadsString and Command.Shortcut).
func Direct(command string) int {
	i := C.int(slotOf(command))
	if i < 0 {
		return 0
	}
	return int(C.hf_direct_answered(i) + C.hf_shortcut_taken(i))
}

func (c *Command) direct(slot int) {
	integers, r := -1, c.ReadsString
	if r == nil {
		r = &ReadsString{}
	} else {
		integers = r.Integers
	}
	option, word := C.CString(r.Option), C.CString(r.Word)
	defer C.free(unsafe.Pointer(option))
	defer C.free(unsafe.Pointer(word))
	C.hf_direct_set(C.int(slot), C.int(integers), option, word)
}
