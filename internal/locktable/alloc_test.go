package locktable_test

import (
	"testing"

	"holdfast/internal/locktable"
)

// oneLock is a Store of one lock with one holder, which allocates nothing.
type oneLock struct {
	held          bool
	owner, record [64]byte
	owned, length int
}

func (o *oneLock) Open(int, []byte) locktable.Found {
	if !o.held {
		return locktable.Found{}
	}
	return locktable.Found{Kind: locktable.Hash, Holders: 1, Expires: 1 << 50}
}
func (o *oneLock) Record(owner []byte) ([]byte, bool) { return o.record[:o.length], o.held }
func (o *oneLock) Any() ([]byte, bool)                { return o.record[:o.length], o.held }
func (o *oneLock) Put(owner, record []byte, _ int64) {
	o.held, o.owned, o.length = true, copy(o.owner[:], owner), copy(o.record[:], record)
}
func (o *oneLock) Delete()                     { o.held = false }
func (o *oneLock) Close()                      {}
func (o *oneLock) Each(func(_, _ []byte) bool) {}
func (o *oneLock) Remove([]byte)               {}
func (o *oneLock) ExpireAt(int64)              {}
func (o *oneLock) Event(locktable.Event)       {}
func (o *oneLock) Watch(int, []byte)           {}
func (o *oneLock) Unwatch(int, []byte)         {}
func (o *oneLock) WatchClient(uint64)          {}
func (o *oneLock) UnwatchClient(uint64)        {}

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
		if ok, err := table.Extend(now, 0, name, owner, 2000); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := table.Release(now, 0, name, owner); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an acquire, a refused one, an extend and a release", n)
	}
}
