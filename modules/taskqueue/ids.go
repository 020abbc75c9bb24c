package taskqueue

import (
	"slices"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

const errID redismodule.Error = "ERR Invalid stream ID specified as stream command argument"

// fullIDs checks the ids of a command and returns each written out in full. An id
// without its sequence means sequence 0 to XACK and XCLAIM, but the whole
// millisecond at the end of a range; so every command that takes ids calls fullIDs
// before it uses one.
func fullIDs(args []redismodule.Arg) ([]redismodule.Arg, error) {
	ids, copied := args, false
	for i, a := range args {
		id, ok := dispatch.ParseID(a.Bytes())
		if !ok {
			return nil, errID
		}
		if dispatch.IsFull(a.Bytes()) {
			continue
		}
		if !copied { // args are the server's memory
			ids, copied = slices.Clone(args), true
		}
		ids[i] = redismodule.Text(id.Append(nil))
	}
	return ids, nil
}

// fullID is fullIDs for one.
func fullID(a redismodule.Arg) (string, error) {
	id, ok := dispatch.ParseID(a.Bytes())
	if !ok {
		return "", errID
	}
	return id.String(), nil
}

// pendingAmong returns those of the ids that are pending in the group; with an owner, those
// that are pending for that consumer. Tasks that are settled together were mostly taken in
// a row, so one XPENDING over the row finds all. It asks for ids behind the end of that
// reply one by one.
func (s *state) pendingAmong(ctx *redismodule.Ctx, stream, group redismodule.Arg, ids []redismodule.Arg, owner ...redismodule.Arg) (found []redismodule.Arg) {
	if len(ids) == 0 {
		return nil
	}
	parsed := make([]dispatch.ID, len(ids))
	first, last := 0, 0
	for i, a := range ids {
		parsed[i], _ = dispatch.ParseID(a.Bytes())
		if parsed[i].Compare(parsed[first]) < 0 {
			first = i
		}
		if parsed[i].Compare(parsed[last]) > 0 {
			last = i
		}
	}
	most := 2 * len(ids)
	cmd := ctx.Cmd("XPENDING").Arg(stream).Arg(group).Arg(ids[first]).Arg(ids[last]).Int(int64(most))
	for _, o := range owner {
		cmd.Arg(o)
	}
	r := cmd.Call("")
	defer r.Free()
	if failure(r) != nil {
		return nil
	}
	p := read(r.Raw())
	n := p.Array()
	row := make(map[dispatch.ID]bool, n)
	var end dispatch.ID
	for range n {
		id, _ := dispatch.ParseID(readPending(&p).id)
		row[id], end = true, id
	}
	if n < most {
		end = parsed[last]
	}
	var of []string
	for _, o := range owner {
		of = append(of, text(o.Bytes()))
	}
	for i, a := range ids {
		is := row[parsed[i]]
		if end.Compare(parsed[i]) < 0 {
			_, is = s.pending(ctx, text(stream.Bytes()), text(group.Bytes()), text(a.Bytes()), of...)
		}
		if is {
			found = append(found, a)
		}
	}
	return found
}
