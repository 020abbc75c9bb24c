/* Keyed tasks of which the fast path adds and removes some by itself. A module lends room: so
 * many more tasks of a key may be added to a stream without the Handler. A room hangs on the
 * stream as a pass does. What is added and removed so stands in a log, which the module reads
 * before Go is entered for anything else. */
#include "bridge.h"

enum { WAYS = 4 };

/* Each hash has a few places, so that busy keys do not take each other's room for ever. */
hf_room hf_rooms[HF_ROOMS];

hf_keyed_change hf_keyed_log[HF_KEYED_LOG];
int64_t hf_keyed_logged;

static hf_room *places(uint64_t id) { return &hf_rooms[id / HF_MODULES % (HF_ROOMS / WAYS) * WAYS]; }

/* Opens a room of nothing for a stream and a key. A place that is of no more use is taken first. */
int hf_room_open(uint64_t id, uint64_t on) {
    static unsigned hand;
    hf_room *at = places(id), *to = &at[hand++ % WAYS];
    for (int i = WAYS - 1; i >= 0; i--)
        if (!at[i].left) to = &at[i];
    for (int i = 0; i < WAYS; i++)
        if (at[i].id == id) to = &at[i];
    *to = (hf_room){ .id = id, .on = on, .born = hf_tick() };
    return (int)(to - hf_rooms);
}

/* The room for a task of a key, NULL where the Handler has to be asked: there is none, somebody
 * waits in the stream or changed it, or the log is full. A call of the module itself may be
 * what runs this command; then Go could not read the log in time. */
hf_room *hf_room_for(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *stream, RedisModuleString *key) {
    if (hf_keyed_logged == HF_KEYED_LOG || hf_muted[f->module]) return NULL;
    size_t len, key_len;
    const char *p = RM_StringPtrLen(stream, &len), *k = RM_StringPtrLen(key, &key_len);
    uint64_t id = hf_pass_id(f->slot, f->module, RM_GetSelectedDb(ctx), p, len, k, key_len);
    hf_room *at = places(id);
    for (int i = 0; i < WAYS; i++)
        if (at[i].id == id) return at[i].left > 0 && hf_unchanged(f->module, at[i].on, at[i].born, 1) ? &at[i] : NULL;
    return NULL;
}

void hf_room_use(hf_room *room, hf_stream_id id) {
    room->left--;
    hf_keyed_log[hf_keyed_logged++] = (hf_keyed_change){ .id = id, .room = room - hf_rooms };
}

/* An entry that was acknowledged with a pass. */
void hf_keyed_left(uint64_t pass, hf_stream_id id) {
    hf_keyed_log[hf_keyed_logged++] = (hf_keyed_change){ .id = id, .room = -1, .pass = pass };
}
