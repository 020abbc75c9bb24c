package redismodule

/*
#include "bridge.h"
static RedisModuleScanCursor *hf_cursor(void) { return RM_ScanCursorCreate(); }
static void hf_cursor_free(RedisModuleScanCursor *c) { RM_ScanCursorDestroy(c); }
*/
import "C"

// Scan walks the keys of one database in bounded steps, as SCAN does: it meets a key that
// exists all the time at least once. The zero value is at the beginning. Close one that is
// not walked to its end. Copies share one walk.
type Scan struct{ at *cursor }

type cursor struct{ c *C.RedisModuleScanCursor }

// Step looks at a number of buckets of the database's table and calls fn with the name of
// each key of the given types. It reports whether there is more. fn may open and write keys.
func (s *Scan) Step(ctx *Ctx, buckets int, fn func(name []byte), types ...KeyType) (more bool) {
	if openKeys > 0 {
		panic("redismodule: Scan.Step while a key is open, which it may end")
	}
	if s.at == nil {
		s.at = &cursor{}
	}
	if s.at.c == nil {
		s.at.c = C.hf_cursor()
	}
	wanted := C.uint(0)
	for _, t := range types {
		wanted |= 1 << t
	}
	found := C.hf_scan(ctx.raw(), s.at.c, C.int(buckets), wanted)
	defer C.hf_pack_free(found.at)
	unpack(found.at, int(found.len), func(name []byte) bool {
		fn(name)
		return true
	})
	if found.more == 0 {
		s.Close()
	}
	return found.more != 0
}

// Close ends the walk. Step would begin anew.
func (s *Scan) Close() {
	if s.at != nil && s.at.c != nil {
		C.hf_cursor_free(s.at.c)
		s.at.c = nil
	}
}
