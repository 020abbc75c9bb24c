package leasetable

import "slices"

// recentLoads is how many of the loads begun last are known by name. The leases
// themselves hold hashes: a million of them must not cost a million names.
const recentLoads = 1024

// maxName is how long a name may be to be remembered.
const maxName = 512

// recent remembers the names of the loads begun last. Its buffers are used again,
// so that remembering a name allocates nothing.
type recent struct {
	loads []recentLoad
	next  int
}

type recentLoad struct {
	id    id
	token uint64
	db    int
	name  []byte
}

func (r *recent) add(i id, token uint64, k Key) {
	if len(k.Name) > maxName {
		return
	}
	if len(r.loads) < recentLoads {
		r.loads = append(r.loads, recentLoad{})
	}
	at := &r.loads[r.next]
	r.next = (r.next + 1) % recentLoads
	at.id, at.token, at.db, at.name = i, token, k.DB, append(at.name[:0], k.Name...)
}

// Loading is a load that goes on now.
type Loading struct {
	Name    []byte
	Lease   Lease
	Waiters int
}

// Loads returns at most n loads of a database that go on now, those with the most
// waiters first and of these the oldest. It knows every load that somebody waits
// for and the last 1,024 begun, and looks at all of these. The names are valid
// until the next call of a method.
func (t *Table[W]) Loads(db int, now int64, n int) (loads []Loading) {
	add := func(i id, token uint64, name []byte, waiters int) {
		l, ok := t.get(i)
		if _, failed := t.store.failures[i]; ok && !failed && now < l.end && (token == 0 || token == l.token) {
			loads = append(loads, Loading{name, l.tell(now), waiters})
		}
	}
	for i, q := range t.queues {
		if q.key.DB == db {
			add(i, 0, q.key.Name, q.waiters.Len())
		}
	}
	for _, r := range t.recent.loads {
		if r.db == db && t.queues[r.id] == nil {
			add(r.id, r.token, r.name, 0)
		}
	}
	slices.SortFunc(loads, func(a, b Loading) int {
		if a.Waiters != b.Waiters {
			return b.Waiters - a.Waiters
		}
		return int(b.Lease.Age - a.Lease.Age)
	})
	return loads[:min(n, len(loads))]
}
