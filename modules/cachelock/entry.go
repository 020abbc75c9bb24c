package cachelock

import (
	"holdfast/modules/internal/leasetable"
	"holdfast/redismodule"
)

// entry is an open key of the cache: a value, a remembered absence, or nothing.
type entry struct {
	redismodule.Reader
	absent bool // a remembered absence
}

// absentField is the one field of the hash that remembers that there is nothing.
var absentField = redismodule.Text([]byte("cachelock:absent"))

// open makes an entry of an opened key, or an error where another type is there. The
// entry must be closed also after an error.
func open(k redismodule.Reader) (entry, error) {
	switch k.Type {
	case redismodule.TypeNone, redismodule.TypeString:
		return entry{Reader: k}, nil
	case redismodule.TypeHash:
		if k.Len() == 1 {
			var buf [8]byte
			if _, ok := k.HashGet(absentField, buf[:0]); ok {
				return entry{k, true}, nil
			}
		}
	}
	return entry{Reader: k}, redismodule.ErrWrongType
}

func (e entry) there() bool { return e.Type != redismodule.TypeNone }

// ttl is what PTTL answers: -2 for no key, -1 for no expiry.
func (e entry) ttl(now int64) int64 {
	switch {
	case !e.there():
		return -2
	case e.ExpireAt < 0:
		return -1
	}
	return max(e.ExpireAt-now, 0)
}

// outcome is what the waiters for an entry that is there are told. The value is
// copied once for all of them.
func (e entry) outcome() leasetable.Outcome {
	if e.absent {
		return leasetable.Outcome{Status: leasetable.Absent}
	}
	value, _ := e.String(nil)
	return leasetable.Outcome{Status: leasetable.Hit, Value: value}
}
