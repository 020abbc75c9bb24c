package redismodule

/*
#include "bridge.h"

static long hf_stream_after(RedisModuleKey *k, uint64_t ms, uint64_t seq, long most) {
    hf_stream_id id = { ms, seq };
    long n = 0, fields;
    if (RM_StreamIteratorStart(k, 1, &id, NULL)) return 0; // 1: without the id itself
    for (; n < most && RM_StreamIteratorNextID(k, &id, &fields) == 0; n++)
        while (fields-- > 0) RM_StreamIteratorNextField(k, NULL, NULL); // or it loses its way
    RM_StreamIteratorStop(k);
    return n;
}
#cgo nocallback hf_stream_after
*/
import "C"

// EntriesAfter counts the entries of a stream above an id, up to most, without
// reading what is in them.
func (k Key) EntriesAfter(ms, seq uint64, most int) int {
	if k.k == nil {
		return 0
	}
	return int(C.hf_stream_after(k.k, C.uint64_t(ms), C.uint64_t(seq), C.long(most)))
}
