package leasetable

import (
	"strings"
	"unicode/utf8"

	"holdfast/internal/deadline"
)

// A backoff is stored as a lease that nobody holds: its token was told to nobody,
// it ends when the backoff is over, and its message is kept beside it. So whatever
// ends a lease ends a backoff too: an invalidation, a flush, another's write.

// maxMessage is how many bytes of a message are kept through a backoff.
const maxMessage = 1024

// Fail ends the lease of token and tells all who wait for k that the load failed.
// message is the whole error reply. For backoffMs from now on, if it is positive,
// Grant refuses everybody, and Backoff says why. ok is false, and nothing is done,
// when the token holds no lease. told is the number of waiters.
func (t *Table[W]) Fail(k Key, token uint64, now int64, message string, backoffMs int64) (told int, ok bool) {
	if _, ok = t.End(k, token, now); !ok {
		return 0, false
	}
	told = t.Resolve(k, Outcome{Status: Failed, Err: message})
	if backoffMs > 0 {
		i := t.store.id(k)
		t.last++
		end := deadline.After(now, backoffMs)
		t.store.put(i, lease{token: t.last, granted: now, deadline: end, end: end, watch: t.watch.Watch(k), db: int32(k.DB)})
		t.store.failures[i] = failure{end, short(message)}
	}
	return told, true
}

// Backoff returns the message of the load of k that failed last, and for how many
// more milliseconds nobody loads k.
func (t *Table[W]) Backoff(k Key, now int64) (message string, leftMs int64, ok bool) {
	if len(t.store.failures) == 0 {
		return "", 0, false
	}
	i := t.store.id(k)
	f, ok := t.store.failures[i]
	if _, there := t.get(i); !ok || !there || now >= f.end {
		return "", 0, false
	}
	return f.message, f.end - now, true
}

// Backoffs is the number of keys that nobody loads because a load has failed. Of
// more than 10,000 it also counts those that are over and not swept yet.
func (t *Table[W]) Backoffs(now int64) (n int) {
	if len(t.store.failures) > countExactly {
		return len(t.store.failures)
	}
	for i := range t.store.failures {
		if l, ok := t.get(i); ok && now < l.end {
			n++
		}
	}
	return n
}

// short cuts a message to maxMessage bytes, between two runes.
func short(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return strings.Clone(message[:cut])
}

// failure is why nobody loads a key, and until when.
type failure struct {
	end     int64
	message string
}
