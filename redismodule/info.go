package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
static void hf_i_section(RedisModuleInfoCtx *c, const char *s) { RM_InfoAddSection(c, s); }
static void hf_i_int(RedisModuleInfoCtx *c, const char *f, long long v) { RM_InfoAddFieldLongLong(c, f, v); }
static void hf_i_double(RedisModuleInfoCtx *c, const char *f, double v) { RM_InfoAddFieldDouble(c, f, v); }
static void hf_i_str(RedisModuleInfoCtx *c, const char *f, const char *v) { RM_InfoAddFieldCString(c, f, v); }
*/
import "C"

import "unsafe"

// Info writes fields of a module's INFO section, as `module_field:value`.
type Info struct {
	c   *C.RedisModuleInfoCtx
	ctx *Ctx
}

// Now is the server's unix time in milliseconds.
func (w *Info) Now() int64 { return w.ctx.Now() }

func withC(s string, fn func(*C.char)) {
	c := C.CString(s)
	defer C.free(unsafe.Pointer(c))
	fn(c)
}

// Section begins a section named `module_name`; the module's own needs none.
func (w *Info) Section(name string) { withC(name, func(s *C.char) { C.hf_i_section(w.c, s) }) }

// Int writes an integer.
func (w *Info) Int(field string, v int64) {
	withC(field, func(f *C.char) { C.hf_i_int(w.c, f, C.longlong(v)) })
}

// Float writes a floating-point number.
func (w *Info) Float(field string, v float64) {
	withC(field, func(f *C.char) { C.hf_i_double(w.c, f, C.double(v)) })
}

// String writes a text.
func (w *Info) String(field, v string) {
	withC(field, func(f *C.char) { withC(v, func(s *C.char) { C.hf_i_str(w.c, f, s) }) })
}
