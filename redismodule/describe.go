package redismodule

/*
#include <stdlib.h>
#include "bridge.h"

static int hf_describe(RedisModuleCtx *ctx, const char *name, hf_cmdinfo *info) {
    return RM_SetCommandInfo(RM_GetCommand(ctx, name), info);
}
static void hf_spec_index(hf_keyspec *k, int pos) { k->begin_type = 2; k->bs.index.pos = pos; }
static void hf_spec_keyword(hf_keyspec *k, const char *word, int from) { k->begin_type = 3; k->bs.keyword.keyword = word; k->bs.keyword.startfrom = from; }
static void hf_spec_range(hf_keyspec *k, int last, int step) { k->find_type = 2; k->fk.range.lastkey = last; k->fk.range.keystep = step; }
static void hf_spec_keynum(hf_keyspec *k) { k->find_type = 3; k->fk.keynum.firstkey = 1; k->fk.keynum.keystep = 1; }
*/
import "C"

import (
	"fmt"
	"strings"
	"unsafe"
)

// arena holds the C memory of one description until the server has copied it.
type arena []unsafe.Pointer

func (a *arena) alloc(n uintptr) unsafe.Pointer {
	p := C.calloc(1, C.size_t(n))
	*a = append(*a, p)
	return p
}

func (a *arena) str(s string) *C.char {
	if s == "" {
		return nil
	}
	c := C.CString(s)
	*a = append(*a, unsafe.Pointer(c))
	return c
}

func (a *arena) free() {
	for _, p := range *a {
		C.free(p)
	}
}

// register makes a command in the server and describes it there.
func (m *module) register(ctx *Ctx, c *Command) error {
	var mem arena
	defer mem.free()
	name := mem.str(c.Name)
	slot := m.bind(c)
	c.fast(slot, m)
	if C.hf_create_command(ctx.c, C.int(slot), name, mem.str(c.Flags)) != 0 {
		return fmt.Errorf("cannot create the command %s: another module has one of that name, or the server does not know a flag of %q", c.Name, c.Flags)
	}
	if c.Categories != "" && C.hf_set_acl(ctx.c, name, mem.str(c.Categories)) != 0 {
		return fmt.Errorf("the server refuses the ACL categories %q of %s", c.Categories, c.Name)
	}
	version := (*C.hf_info_version)(mem.alloc(unsafe.Sizeof(C.hf_info_version{})))
	version.version = 1
	version.sizeof_historyentry = 16
	version.sizeof_keyspec = C.size_t(unsafe.Sizeof(C.hf_keyspec{}))
	version.sizeof_arg = C.size_t(unsafe.Sizeof(C.hf_cmdarg{}))
	info := (*C.hf_cmdinfo)(mem.alloc(unsafe.Sizeof(C.hf_cmdinfo{})))
	info.version = version
	info.summary, info.complexity, info.since = mem.str(c.Summary), mem.str(c.Complexity), mem.str(c.Since)
	info.arity = C.int(c.Arity)
	info.key_specs = mem.keySpecs(c.Keys)
	info.args = mem.arguments(c.Args)
	if C.hf_describe(ctx.c, name, info) != 0 {
		return fmt.Errorf("the server refuses the description of %s", c.Name)
	}
	return nil
}

// keySpecs lays out the specs, with a zero one behind as the end.
func (a *arena) keySpecs(specs []KeySpec) *C.hf_keyspec {
	if len(specs) == 0 {
		return nil
	}
	p := (*C.hf_keyspec)(a.alloc(uintptr(len(specs)+1) * unsafe.Sizeof(C.hf_keyspec{})))
	for i, s := range specs {
		k := &unsafe.Slice(p, len(specs))[i]
		k.flags = C.uint64_t(s.Flags)
		if s.Keyword != "" {
			C.hf_spec_keyword(k, a.str(s.Keyword), C.int(s.From))
		} else {
			C.hf_spec_index(k, C.int(s.Index))
		}
		if s.Count {
			C.hf_spec_keynum(k)
		} else {
			C.hf_spec_range(k, C.int(s.Last), C.int(max(s.Step, 1)))
		}
	}
	return p
}

// arguments lays out the arguments, with a zero one behind as the end.
func (a *arena) arguments(args []Argument) *C.hf_cmdarg {
	if len(args) == 0 {
		return nil
	}
	p := (*C.hf_cmdarg)(a.alloc(uintptr(len(args)+1) * unsafe.Sizeof(C.hf_cmdarg{})))
	for i, arg := range args {
		c := &unsafe.Slice(p, len(args))[i]
		c.name, c.token, c.summary = a.str(arg.Name), a.str(arg.Token), a.str(arg.Summary)
		c._type = C.int(arg.Type)
		c.key_spec_index = -1
		if arg.Type == ArgKey {
			c.key_spec_index = C.int(arg.Key)
		}
		if arg.Type == ArgToken && arg.Token == "" {
			c.token = a.str(strings.ToUpper(arg.Name))
		}
		if arg.Optional {
			c.flags |= 1
		}
		if arg.Multiple {
			c.flags |= 2
		}
		c.subargs = a.arguments(arg.Args)
	}
	return p
}
