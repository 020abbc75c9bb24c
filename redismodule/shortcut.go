package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
#cgo noescape hf_pass_id
#cgo noescape hf_pass_open
#cgo nocallback hf_pass_id
#cgo nocallback hf_pass_open
#cgo nocallback hf_pass_shut
#cgo nocallback hf_pass_uses
#cgo nocallback hf_pass_shut_all
#cgo nocallback hf_shortcut_set
#cgo nocallback hf_shortcut_integer
#cgo nocallback hf_shortcut_word
#cgo nocallback hf_shortcut_taken
*/
import "C"

import (
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// Shortcut is a command's usual case, told in the server's own commands. As long as
// nothing stands in its way it is carried out without the Handler, which costs about
// as much as the server's command itself; for everything else the Handler is called.
type Shortcut struct {
	// Call is the command whose reply is the answer. In it $n is argument n, $n|word
	// the same or the word where the argument is missing, and $now the unix time in
	// seconds. When it fails or answers nil the Handler is called after all, and from then
	// on, until the pass is opened anew.
	Call string
	// Then is called when Call answered a number above 0, unless the pass is for Call alone.
	Then string
	// Args is the number of arguments, the name among them. Integers may follow, one for
	// each of the bounds.
	Args     int
	Integers []Bounds
	// Except leaves an argument that begins with the prefix to the Handler.
	Except Prefix
	// Key is an argument: while that key is held (Ctx.Hold), the Handler is called. 0
	// for none.
	Key int
	// Pass are two arguments. They name the pass that has to be open (OpenPass); a
	// zero for none.
	Pass [2]int
}

// Bounds are the least and the greatest an integer may be.
type Bounds struct{ Least, Most int64 }

// Prefix is what an argument begins with.
type Prefix struct {
	Arg  int
	Text string
}

func (c *Command) shortcut(slot int, m *module) {
	s := c.Shortcut
	if s == nil {
		s = &Shortcut{}
	}
	prefix := C.CString(s.Except.Text)
	defer C.free(unsafe.Pointer(prefix))
	C.hf_shortcut_set(C.int(slot), C.int(m.slot), C.int(s.Args), C.int(s.Key), C.int(s.Pass[0]), C.int(s.Pass[1]), C.int(s.Except.Arg), prefix)
	ok := len(s.Except.Text) < 16 // as much has room there
	for _, i := range s.Integers {
		ok = ok && C.hf_shortcut_integer(C.int(slot), C.longlong(i.Least), C.longlong(i.Most)) != 0
	}
	for i, call := range []string{s.Call, s.Then} {
		for _, word := range strings.Fields(call) {
			arg := 0
			if word == "$now" {
				arg, word = -1, ""
			} else if is := strings.HasPrefix(word, "$"); is {
				var n string
				n, word, _ = strings.Cut(word[1:], "|")
				arg, _ = strconv.Atoi(n)
				ok = ok && arg > 0
			}
			text := C.CString(word)
			ok = ok && C.hf_shortcut_word(C.int(slot), C.int(i), C.int(arg), text) != 0
			C.free(unsafe.Pointer(text))
		}
	}
	if !ok {
		panic(fmt.Sprintf("redismodule: the shortcut of %s is too long or wrong: %+v", c.Name, *s))
	}
}

// PassID is what names a pass: a command and two texts.
type PassID uint64

// Pass is the id of the pass that a command with that Shortcut needs in a database
// when its two arguments say a and b.
func Pass(command string, db int, a, b []byte) PassID {
	i := slotOf(command)
	if i < 0 {
		panic("redismodule: no command " + command)
	}
	return PassID(C.hf_pass_id(C.int(i), C.int(db), unsafe.Pointer(unsafe.SliceData(a)), C.size_t(len(a)),
		unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))))
}

// OpenPass opens a pass: from now on the command's Handler is not needed for what has
// this pass, until it is shut. The guard, if it has a name, is a key that must not be
// there; then tells whether Shortcut.Then is called too. Memory is bounded: opening one may shut another of the module, which is answered
// (0 for none; the same one, if it was open) with what came of its uses, as by ShutPass.
func OpenPass(id PassID, guard []byte, then bool) (shut PassID, uses int64) {
	and := C.int(0)
	if then {
		and = 1
	}
	was := C.hf_pass_open(C.uint64_t(id), unsafe.Pointer(unsafe.SliceData(guard)), C.size_t(len(guard)), and)
	return PassID(was.id), int64(was.uses)
}

// ShutPass shuts a pass, and answers what came of its uses since it was last asked: the
// sum of the numbers above 0 that Call answered; where it read a stream, the entries.
func ShutPass(id PassID) (uses int64) { return int64(C.hf_pass_shut(C.uint64_t(id))) }

// UsesOfPass answers that and leaves it open.
func UsesOfPass(id PassID) (uses int64) { return int64(C.hf_pass_uses(C.uint64_t(id))) }
