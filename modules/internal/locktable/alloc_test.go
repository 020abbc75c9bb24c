package locktable_test

import (
	"testing"

	"holdfast/modules/internal/locktable"
)

// oneLock is a Store of one exclusive lock, which allocates nothing.
type oneLock struct {
	held    bool
	text    [64]byte
	length  int
	expires int64
	token   int64
}

func (o *oneLock) Open(int, []byte) locktable.Found {
	if !o.held {
		return locktable.Found{}
	}
	return locktable.Found{Kind: locktable.Text, Value: o.text[:o.length], Expires: o.expires}
}

func (o *oneLock) Commit(writes []locktable.Write, _ []locktable.Event) {
	for _, w := range writes {
		switch w.Kind {
		case locktable.Set:
			o.held, o.length, o.expires = true, copy(o.text[:], w.Value), w.Expires
		case locktable.ExpireAt:
			o.expires = w.Expires
		case locktable.Delete:
			o.held = false
		}
	}
}

func (o *oneLock) Peek(db int, name []byte) locktable.Found { return o.Open(db, name) }
func (o *oneLock) Record([]byte) ([]byte, bool)             { return nil, false }
func (o *oneLock) Any() ([]byte, bool)                      { return nil, false }
func (o *oneLock) Each(func(_, _ []byte) bool)              {}
func (o *oneLock) Hash(int, []byte) uint64                  { return 7 }
func (o *oneLock) Cursor() locktable.Cursor                 { return nil }
func (o *oneLock) Token() *int64                            { return &o.token }
func (o *oneLock) Logged(func(uint64, int64, int64, int64)) {}
func (o *oneLock) Watch(int, []byte)                        {}
func (o *oneLock) Unwatch(int, []byte)                      {}
func (o *oneLock) WatchClient(uint64)                       {}
func (o *oneLock) UnwatchClient(uint64)                     {}
func (o *oneLock) Scan(locktable.Cursor, int, func(_, _ []byte) bool) bool {
	return false
}

func TestAnUncontendedLockAllocatesNothing(t *testing.T) {
	table := locktable.New(&oneLock{}, &locktable.Limits{MaxWaiters: 1}, 1)
	name, owner, other := []byte("lock"), []byte("owner"), []byte("other")
	now := int64(1)
	if n := testing.AllocsPerRun(2000, func() {
		now++
		r := locktable.Request{Name: name, Owner: owner, Limit: locktable.Exclusive, TTL: 1000}
		if v, err := table.Acquire(now, &r); err != nil || v.Token == 0 {
			t.Fatal(v, err)
		}
		r.Owner = other
		if v, err := table.Acquire(now, &r); err != nil || v.Token != 0 {
			t.Fatal(v, err)
		}
		if ok, err := table.Extend(now, &locktable.Claim{Name: name, Owner: owner}, 2000); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := table.Release(now, &locktable.Claim{Name: name, Owner: owner}); ok != 1 || err != nil {
			t.Fatal(ok, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an acquire, a refused one, an extend and a release", n)
	}
}
