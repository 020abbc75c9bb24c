package queue

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// streams are the streams of a queue: one of its name, or {name:0} … {name:n-1},
// which a cluster spreads over its nodes.
func streams(name string, partitions int) ([]string, error) {
	if name == "" {
		return nil, errors.New("queue: a queue needs a name")
	}
	if partitions <= 1 {
		if !tagged(name) && strings.Contains(name, "}") {
			return nil, fmt.Errorf("queue: %q: a name with a } and no {tag} has no place for its dead letters in its slot: use another", name)
		}
		return []string{name}, nil
	}
	if strings.ContainsAny(name, "{}") {
		return nil, fmt.Errorf("queue: %q: a queue with Partitions has no braces in its name", name)
	}
	all := make([]string, partitions)
	for i := range all {
		all[i] = fmt.Sprintf("{%s:%d}", name, i)
	}
	return all, nil
}

// deadOf is where the dead letters of a stream go, in the stream's slot and named
// like the keys that the server keeps beside it.
func deadOf(stream string) string {
	if tagged(stream) {
		return stream + "::dead"
	}
	return "{" + stream + "}:dead"
}

// tagged tells whether a part of a name, {so}, chooses its slot.
func tagged(name string) bool {
	_, rest, found := strings.Cut(name, "{")
	return found && strings.Index(rest, "}") > 0
}

// spread chooses one of n by a text.
func spread(text string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return int(h.Sum32() % uint32(n))
}
