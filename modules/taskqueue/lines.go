package taskqueue

import (
	"bytes"
	"slices"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/keyed"
	"holdfast/redismodule"
)

const (
	topMost  = 1000 // keys that are listed
	walkMost = 1000 // keys that are looked at where they are not known
)

// heldStatus is what TASK.STATS and TASK.LIST tell of held tasks.
type heldStatus struct {
	held, keys int64
	longest    keyed.Line
}

func (s *state) heldStatus(ctx *redismodule.Ctx, stream string) (h heldStatus) {
	if h.held = s.heldIn(ctx, stream); h.held == 0 {
		return h
	}
	var lines []keyed.Line
	if h.keys, lines = s.linesOf(ctx, stream, 1); len(lines) > 0 {
		h.longest = lines[0]
	}
	return h
}

// heldFields is the number of fields that reply answers.
const heldFields = 4

func (h heldStatus) reply(ctx *redismodule.Ctx) {
	replyInts(ctx, named{"held", h.held}, named{"keys", h.keys}, named{"longest_line", h.longest.Held})
	if ctx.ReplyString("longest_key"); h.longest.Held > 0 {
		ctx.ReplyString(h.longest.Name)
	} else {
		ctx.ReplyNull()
	}
}

// linesOf returns the number of keys with held tasks, and those that have most. On a replica,
// and where the keys are not known yet, it looks at walkMost keys.
func (s *state) linesOf(ctx *redismodule.Ctx, stream string, most int) (keys int64, lines []keyed.Line) {
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil && q.Keys != nil && q.Keys.Known() {
		return int64(q.Keys.Lines()), q.Keys.Longest(most)
	}
	name, ok := s.sideKey(stream, heldKey)
	if !ok {
		return 0, nil
	}
	set := bytes.Clone(name)
	var after []byte
	for began := ctx.Monotonic(); len(lines) < walkMost && (len(lines) < lineBatch || ctx.Monotonic()-began < slice); {
		l, ok := s.lineAfter(ctx, set, after)
		if !ok {
			break
		}
		lines, after = append(lines, l), view(l.Name)
	}
	keys = int64(len(lines))
	slices.SortStableFunc(lines, func(a, b keyed.Line) int { return int(b.Held - a.Held) })
	return keys, lines[:min(len(lines), most)]
}

// lineAfter returns the next key in a set of held tasks.
func (s *state) lineAfter(ctx *redismodule.Ctx, set, key []byte) (l keyed.Line, ok bool) {
	r := ctx.Cmd("ZRANGEBYLEX").Bytes(set).Bytes(dispatch.AfterHeld(nil, key)).Str("+").Str("LIMIT").Str("0").Str("1").Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() != 1 {
		return l, false
	}
	h, fields, ok := dispatch.ParseHeld(p.Bytes(), nil)
	if !ok {
		return l, false
	}
	kept, _ := readLife(fields)
	return keyed.Line{Name: string(h.Key), Held: countHeld(ctx, set, h.Key), Weight: max(kept.weight, 1)}, true
}
