package redismodule

/*
#include "bridge.h"
#cgo nocallback hf_room_open
*/
import "C"

import "unsafe"

// Rooms is how many rooms there are for all streams together.
const Rooms = C.HF_ROOMS

// OpenRoom opens a room: the fast path may add *left more tasks of a key to a stream. id is that
// of a pass of TASK.PUBLISH for the two; *left is 0, to be set by the caller, until another room
// is opened in the same place, which is below Rooms. A room is of no use from the first foreign
// event on the watched key on that is not in Module.Harmless, as a pass is, see OpenPass.
func OpenRoom(id PassID, on WatchID) (place int, left *int64) {
	place = int(C.hf_room_open(C.uint64_t(id), C.uint64_t(on)))
	return place, (*int64)(unsafe.Pointer(&C.hf_rooms[place].left))
}

// KeyedChange is a task that the fast path added to a room, or acknowledged with a pass that is
// PassLogged.
type KeyedChange struct {
	Ms, Seq uint64
	Room    int64  // its place; negative: acknowledged
	Pass    PassID // then
}

var _ [unsafe.Sizeof(C.hf_keyed_change{})]byte = [unsafe.Sizeof(KeyedChange{})]byte{}

// catchUp has the module read the log.
func (m *module) catchUp() {
	defer func() {
		if p := recover(); p != nil {
			m.panicked(p)
		}
	}()
	log := (*[C.HF_KEYED_LOG]KeyedChange)(unsafe.Pointer(&C.hf_keyed_log))[:C.hf_keyed_logged]
	C.hf_keyed_logged = 0
	m.CatchUp(log)
}
