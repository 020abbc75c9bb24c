package taskqueue

import (
	"slices"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// claimMost is the most ids in one XCLAIM.
const claimMost = 1000

// extend is TASK.EXTEND stream group consumer id [id …].
func extend(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, group, owner := args[1], args[2], args[3]
	ids, err := fullIDs(args[4:])
	if err != nil {
		return err
	}
	mine := s.pendingAmong(ctx, stream, group, ids, owner)
	n := 0
	for some := range slices.Chunk(mine, claimMost) {
		cmd := ctx.Cmd("XCLAIM").Arg(stream).Arg(group).Arg(owner).Str("0")
		for _, id := range some {
			cmd.Arg(id)
		}
		r := cmd.Str("JUSTID").Call("")
		p := read(r.Raw())
		got := 0
		if failure(r) == nil {
			got = p.Array()
		}
		if g := s.known(ctx, stream, group); g != nil {
			s.lose(g, len(some)-got) // their entries are gone
		}
		n += got
		r.Free()
	}
	return replyCount(ctx, stream, int64(n))
}

func (s *state) known(ctx *redismodule.Ctx, stream, group redismodule.Arg) *dispatch.Group {
	if q := s.table.Find(ctx.DB(), stream.Bytes()); q != nil {
		return q.Group(group.Bytes())
	}
	return nil
}
