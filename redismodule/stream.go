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

static int hf_stream_has(RedisModuleKey *k, uint64_t ms, uint64_t seq) {
    hf_stream_id id = { ms, seq };
    long fields;
    if (RM_StreamIteratorStart(k, 0, &id, &id)) return 0;
    int has = RM_StreamIteratorNextID(k, &id, &fields) == 0;
    RM_StreamIteratorStop(k);
    return has;
}

static int hf_id_cmp(const hf_stream_id *a, const hf_stream_id *b) {
    if (a->ms != b->ms) return a->ms < b->ms ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static size_t hf_stream_head(RedisModuleKey *k, const hf_stream_id *ids, size_t n) {
    hf_stream_id id;
    size_t i = 0, head = 0;
    long fields;
    if (RM_StreamIteratorStart(k, 0, NULL, NULL)) return 0;
    while (i < n && RM_StreamIteratorNextID(k, &id, &fields) == 0) {
        while (i < n && hf_id_cmp(&ids[i], &id) < 0) i++;
        if (i == n || hf_id_cmp(&ids[i], &id)) break;
        head = ++i;
        while (fields-- > 0) RM_StreamIteratorNextField(k, NULL, NULL);
    }
    RM_StreamIteratorStop(k);
    return head;
}
#cgo nocallback hf_stream_after
#cgo nocallback hf_stream_has
#cgo noescape hf_stream_head
#cgo nocallback hf_stream_head
*/
import "C"

import "unsafe"

// EntriesAfter counts the entries of a stream above an id, up to most, without
// reading what is in them.
func (r Reader) EntriesAfter(ms, seq uint64, most int) int {
	c := r.c()
	if c == nil {
		return 0
	}
	return int(C.hf_stream_after(c, C.uint64_t(ms), C.uint64_t(seq), C.long(most)))
}

// HasEntry reports whether a stream has an entry of that id, without reading what is in
// it.
func (r Reader) HasEntry(ms, seq uint64) bool {
	c := r.c()
	return c != nil && C.hf_stream_has(c, C.uint64_t(ms), C.uint64_t(seq)) != 0
}

// Head is the number n for which the stream begins with those of ids[:n] that it holds,
// and then has an entry that is not among ids. The ids are in ascending order.
func Head[ID ~struct{ Ms, Seq uint64 }](r Reader, ids []ID) (n int) {
	c := r.c()
	if c == nil || len(ids) == 0 {
		return 0
	}
	return int(C.hf_stream_head(c, (*C.hf_stream_id)(unsafe.Pointer(unsafe.SliceData(ids))), C.size_t(len(ids))))
}
