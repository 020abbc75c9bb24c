package redismodule

/*
#include "bridge.h"

static RedisModuleString *hf_intern(const char *p, size_t n) { return RM_CreateString(NULL, p, n); }
#cgo noescape hf_intern
#cgo nocallback hf_intern
*/
import "C"

import "unsafe"

// Arg is one argument of a command, in the server's memory: read it during the
// callback and keep only copies.
type Arg struct {
	data []byte
	str  *C.RedisModuleString
}

// The C side lays arguments out exactly as Go does; if that ever ceases to be
// true, this does not compile.
var _ [unsafe.Sizeof(C.hf_arg{})]byte = [unsafe.Sizeof(Arg{})]byte{}

// Text is bytes of the module's own as an argument or a name.
func Text(b []byte) Arg { return Arg{data: b} }

var interned = map[string]Arg{}

// Intern is a word that stands in many calls, as an argument that is made once and never
// freed. It needs a server: call it from Module.Load, with words known beforehand.
func Intern(word string) Arg {
	a, ok := interned[word]
	if !ok {
		a = Arg{[]byte(word), C.hf_intern(charsOf(word), C.size_t(len(word)))}
		interned[word] = a
	}
	return a
}

// Bytes is the argument in place. Do not change or keep it.
func (a Arg) Bytes() []byte { return a.data }

// String is a copy of the argument.
func (a Arg) String() string { return string(a.data) }

// Len is its length in bytes.
func (a Arg) Len() int { return len(a.data) }

// Int is the argument as an integer, as strictly as the server reads one: no
// plus sign, no spaces, no leading zeros.
func (a Arg) Int() (int64, bool) { return ParseInt(a.data) }

// Is reports whether the argument is the given word, whatever its case. The word
// is in upper case.
func (a Arg) Is(word string) bool {
	if len(a.data) != len(word) {
		return false
	}
	for i := range len(word) {
		c := a.data[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// ParseInt reads a decimal integer as strictly as the server does.
func ParseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	digits, negative := b, b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' || n > (1<<64-1-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}

// chars is where the bytes of b begin, for C, which takes text as char * everywhere: for a void *
// Go would look at each call whether Go pointers lie behind it.
func chars(b []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))) }

// charsOf is where the bytes of s begin, for C.
func charsOf(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }
