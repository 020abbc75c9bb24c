package locktable_test

import (
	"testing"

	"holdfast/modules/internal/locktable"
)

// What the decisions of an uncontended pair cost, without the keyspace.
func BenchmarkAcquireAndRelease(b *testing.B) {
	table := locktable.New(&oneLock{}, &locktable.Limits{MaxWaiters: 1}, 1)
	name, owner := []byte("lock:123456"), []byte("owner-0123456789")
	now := int64(1_790_000_000_000)
	for b.Loop() {
		r := locktable.Request{Name: name, Owner: owner, Limit: locktable.Exclusive, TTL: 1000}
		if v, err := table.Acquire(now, &r); err != nil || v.Token == 0 {
			b.Fatal(v, err)
		}
		if ok, err := table.Release(now, &locktable.Claim{Name: name, Owner: owner}); ok != 1 || err != nil {
			b.Fatal(ok, err)
		}
	}
}
