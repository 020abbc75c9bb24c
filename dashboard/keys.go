package dashboard

import (
	"context"
	"fmt"
	"strings"

	"holdfast/queue"
)

// keys asks for the rule of a queue, and for the keys with the longest lines.
func (v *visit) keys(stream string) (queue.Keys, error) {
	return ask(v, "keys "+stream, fresh, func(ctx context.Context) (queue.Keys, error) { return v.queues.Keys(ctx, stream, shownTasks) })
}

// rule says a rule in words: "" for none.
func rule(r queue.Rule) string {
	var parts []string
	if r.Limit > 0 {
		parts = append(parts, "at most "+count(r.Limit, "task", "tasks")+" of a key at a time")
	}
	if r.Share > 0 {
		parts = append(parts, count(r.Share, "task", "tasks")+" of a key at a time, more where workers are free")
	}
	if r.Rate.N > 0 {
		of := "of a key"
		if r.Rate.All {
			of = "of all keys together"
		}
		parts = append(parts, fmt.Sprintf("%s %s every %v", count(r.Rate.N, "task", "tasks"), of, r.Rate.Per))
	}
	if r.Ordered {
		parts = append(parts, "one by one, in order")
	}
	return strings.Join(parts, "; ")
}
