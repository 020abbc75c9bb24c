package dashboard

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// keyLine are the tasks of one key that the queue's rule holds back.
type keyLine struct {
	Key              string
	Held, In, Weight int64
}

// keyed is a queue's rule for tasks of one key, and the keys with the longest lines.
type keyed struct {
	Rule       string // empty without a rule
	Held, Keys int64
	Lines      []keyLine
}

// keys asks for the rule and the lines of a queue.
func (v *visit) keys(stream string) (keyed, error) {
	return ask(v, "keys "+stream, fresh, func(ctx context.Context) (keyed, error) {
		reply, err := v.rdb.Do(ctx, "TASK.KEYS", stream, "COUNT", shownTasks).Result()
		if redis.HasErrorPrefix(err, "unknown command") { // of an older module
			return keyed{}, nil
		}
		m := fields(reply)
		k := keyed{Rule: rule(m), Held: integer(m["held"]), Keys: integer(m["keys"])}
		lines, _ := m["lines"].([]any)
		for _, one := range lines {
			l := fields(one)
			key, _ := l["key"].(string)
			k.Lines = append(k.Lines, keyLine{key, integer(l["held"]), integer(l["in"]), integer(l["weight"])})
		}
		return k, err
	})
}

// rule says a rule in words.
func rule(m map[string]any) string {
	var parts []string
	if n, there := m["limit"].(int64); there {
		parts = append(parts, "at most "+count(int(n), "task", "tasks")+" of a key at a time")
	}
	if n, there := m["share"].(int64); there {
		parts = append(parts, count(int(n), "task", "tasks")+" of a key at a time, more where workers are free")
	}
	if n, there := m["rate"].(int64); there {
		of := "of a key"
		if integer(m["all"]) != 0 {
			of = "of all keys together"
		}
		parts = append(parts, fmt.Sprintf("%s %s every %d ms", count(int(n), "task", "tasks"), of, integer(m["per_ms"])))
	}
	if integer(m["ordered"]) != 0 {
		parts = append(parts, "one by one, in order")
	}
	return strings.Join(parts, "; ")
}

// fields is a map as RESP2 or RESP3 answers it.
func fields(reply any) map[string]any {
	all := map[string]any{}
	switch r := reply.(type) {
	case map[any]any:
		for name, value := range r {
			all[fmt.Sprint(name)] = value
		}
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			all[fmt.Sprint(r[i])] = r[i+1]
		}
	}
	return all
}

func integer(v any) int64 {
	n, _ := v.(int64)
	return n
}
