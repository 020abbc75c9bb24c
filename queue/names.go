package queue

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// DefaultGroup is the group of workers that name none.
const DefaultGroup = "workers"

// streamsOf are the streams of a queue: one of its name, or {name:0} … {name:n-1},
// which a cluster spreads over its nodes.
func streamsOf(name string, partitions int) ([]string, error) {
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

// sideKey names a key beside a stream, in the stream's slot, as the server names its
// own.
func sideKey(stream, kind string) string {
	if tagged(stream) {
		return stream + "::" + kind
	}
	return "{" + stream + "}:" + kind
}

// DeadStream names the stream that holds the dead letters of a group. The default
// group is meant by "", too.
func DeadStream(stream, group string) string {
	if group == "" || group == DefaultGroup {
		return sideKey(stream, "dead")
	}
	return sideKey(stream, "dead:"+escape(group))
}

// RetryStream names the stream that holds the retries of a group where the stream has
// several groups: a retry is of no concern to a group that did not fail.
func RetryStream(stream, group string) string {
	return sideKey(stream, "retry:"+escape(group))
}

// delayedSet names the sorted set of a stream's delayed tasks.
func delayedSet(stream string) string { return sideKey(stream, "delayed") }

// isSideStream tells whether a stream is one of a queue's retry or dead streams.
func isSideStream(name string) bool {
	_, kind, found := strings.Cut(name, "}:")
	if !found {
		return false
	}
	if i := strings.LastIndex(name, "::"); i >= 0 {
		kind = name[i+2:]
	}
	return kind == "dead" || strings.HasPrefix(kind, "dead:") || strings.HasPrefix(kind, "retry:")
}

var escaper = strings.NewReplacer("%", "%25", ":", "%3A")

// escape takes the colons out of a word, so that words joined by colons are the same
// only if each word is.
func escape(word string) string { return escaper.Replace(word) }

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

// streamOfDelayed is the stream to which a set of delayed tasks belongs.
func streamOfDelayed(key string) string {
	if stream, ok := strings.CutSuffix(key, "::delayed"); ok {
		return stream
	}
	return strings.TrimSuffix(strings.TrimPrefix(key, "{"), "}:delayed")
}
