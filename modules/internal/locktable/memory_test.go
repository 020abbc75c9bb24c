package locktable_test

import (
	"fmt"
	"runtime"
	"testing"

	"holdfast/modules/internal/locktable"
)

func TestAWaiterCostsFarLessThanAKilobyte(t *testing.T) {
	const waiters, locks = 100_000, 1000
	k := newKeyspace(1_790_000_000_000)
	table := locktable.New(k, &locktable.Limits{MaxWaiters: waiters}, k.now)
	for i := range locks {
		r := request(fmt.Sprint("lock:", i), "holder", exclusive, long)
		if _, err := table.Acquire(k.now, &r); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	all := make([]*locktable.Waiter, waiters)
	before := heap()
	for i := range all {
		all[i] = &locktable.Waiter{}
		r := request(fmt.Sprint("lock:", i%locks), fmt.Sprintf("owner-%010d", i), exclusive, long)
		r.Block = true
		v, err := table.Acquire(k.now, &r)
		if err != nil || !v.Wait {
			t.Fatal(v, err)
		}
		table.Enqueue(k.now, &r, v, all[i])
	}
	each := (heap() - before) / waiters
	t.Logf("%d bytes for each", each)
	if each > 600 {
		t.Errorf("a waiter takes %d bytes", each)
	}
	for _, w := range all {
		table.Timeout(w)
	}
	if table.Waiting() != 0 || len(k.watched) != 0 {
		t.Errorf("%d wait, %d names are watched", table.Waiting(), len(k.watched))
	}
	if left := int64(heap() - before); left > waiters*192+5<<20 { // what all keeps, and emptied maps
		t.Errorf("%d bytes are left", left)
	}
	runtime.KeepAlive(all)
}
