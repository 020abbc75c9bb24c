package e2e

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// However many ids are acknowledged together, in whatever order, and whoever
// holds them: a fenced acknowledgement counts and ends just the owner's.
func TestAFencedAcknowledgementOfManyEndsJustTheOwnersTasks(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	rapid.Check(t, func(t *rapid.T) {
		q.do("DEL s")
		mine := map[string]bool{}
		var ids []string
		for i := range rapid.IntRange(1, 40).Draw(t, "tasks") {
			ids = append(ids, q.publish("s", fmt.Sprint(i))[0])
			owner := rapid.SampledFrom([]string{"me", "me", "other"}).Draw(t, "owner")
			mine[q.one("TASK.CONSUME g "+owner+" s").id] = owner == "me"
		}
		for range 3 {
			some := rapid.SliceOfN(rapid.SampledFrom(append(ids, "1-1", "99999999999999-0", "5")), 1, 12).Draw(t, "ids")
			args := []any{"TASK.ACK", "s", "g"}
			want := int64(0)
			for _, id := range some {
				args = append(args, id)
				if mine[id] {
					want++
					mine[id] = false
				}
			}
			if n, err := q.Do(q.ctx, append(args, "CONSUMER", "me")...).Int64(); err != nil || n != want {
				t.Fatalf("%d %v, want %d", n, err, want)
			}
		}
		left := int64(0)
		for _, is := range mine {
			if is {
				left++
			}
		}
		if got := stillPending(q, "me"); got != left {
			t.Fatalf("%d are still pending, want %d", got, left)
		}
	})
}

func stillPending(q *tasks, consumer string) int64 {
	all, _ := q.do("XPENDING s g").([]any)[3].([]any) // nil when nothing is
	for _, c := range all {
		if c := c.([]any); c[0] == consumer {
			var n int64
			_, _ = fmt.Sscan(c[1].(string), &n)
			return n
		}
	}
	return 0
}
