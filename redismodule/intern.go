package redismodule

/*
#include "bridge.h"

static RedisModuleString *hf_intern(const void *p, size_t n) { return RM_CreateString(NULL, p, n); }
#cgo noescape hf_intern
#cgo nocallback hf_intern
*/
import "C"

import "unsafe"

var interned = map[string]Arg{}

// Intern is a word as an argument that lives as long as the process, for the
// words that stand in every call: Cmd.Arg passes it on without making a string
// each time. It needs a server: call it from Module.Load, and with words that
// are known beforehand, because they are never given back.
func Intern(word string) Arg {
	a, ok := interned[word]
	if !ok {
		a = Arg{[]byte(word), C.hf_intern(unsafe.Pointer(unsafe.StringData(word)), C.size_t(len(word)))}
		interned[word] = a
	}
	return a
}
