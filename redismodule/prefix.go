package redismodule

/*
#include "bridge.h"
#cgo noescape hf_prefix_add
#cgo noescape hf_prefix_of
#cgo nocallback hf_prefix_clear
#cgo nocallback hf_prefix_add
#cgo nocallback hf_prefix_of
#cgo nocallback hf_prefix_hits
*/
import "C"

// MaxPrefixes is how many prefixes SetPrefixes takes.
const MaxPrefixes = C.HF_PREFIXES

// SetPrefixes has the calls that are answered without their Handler counted by the
// longest of these prefixes that the key begins with. The prefixes are sorted, none is
// empty or there twice. All counts begin at 0.
func SetPrefixes(prefixes []string) {
	C.hf_prefix_clear()
	for _, p := range prefixes {
		C.hf_prefix_add(charsOf(p), C.size_t(len(p)))
	}
}

// PrefixOf is the number of the longest prefix that a key begins with, or -1.
func PrefixOf(key []byte) int {
	return int(C.hf_prefix_of(chars(key), C.size_t(len(key))))
}

// PrefixHits is how many calls for keys with a prefix were answered without their Handler.
func PrefixHits(prefix int) int { return int(C.hf_prefix_hits(C.int(prefix))) }
