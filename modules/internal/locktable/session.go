package locktable

import "slices"

// sessions knows which leases end with which connection. It is as mortal as
// the connections are: after a restart there are none, and the expiry is what
// ends the leases of those who held them. The zero value is empty.
type sessions struct {
	clients map[uint64][]held // the leases of each, dead ones included
	leases  map[held]*sessionLease
	ended   []endedSession // connections that are gone, their leases not yet
}

// held names one grant: several locks may have been granted with one token.
type held struct {
	token int64
	name  string
}

type sessionLease struct {
	client  uint64
	db      int
	owner   string
	expires int64
}

type endedSession struct {
	client uint64
	leases []held
}

// add notes a lease, and tells whether it is the connection's first.
func (s *sessions) add(r *Request, name []byte, token, expires, now int64) (first bool) {
	if s.leases == nil {
		s.clients = map[uint64][]held{}
		s.leases = map[held]*sessionLease{}
	}
	h := held{token, string(name)}
	s.leases[h] = &sessionLease{r.Client, r.DB, string(r.Owner), expires}
	return s.belongs(h, r.Client, now)
}

func (s *sessions) belongs(h held, client uint64, now int64) (first bool) {
	leases, known := s.clients[client]
	if len(leases) == cap(leases) { // before it grows: a long session must not
		leases = s.prune(client, leases, now)
		if len(leases) > cap(leases)/2 {
			leases = slices.Grow(leases, len(leases))
		}
	}
	s.clients[client] = append(leases, h)
	return !known
}

// prune drops what was released, ran out or went to another connection.
func (s *sessions) prune(client uint64, leases []held, now int64) []held {
	kept := leases[:0]
	for _, h := range leases {
		switch lease := s.leases[h]; {
		case lease == nil || lease.client != client:
		case lease.expires <= now:
			delete(s.leases, h)
		default:
			kept = append(kept, h)
		}
	}
	clear(leases[len(kept):])
	return kept
}

// move makes a lease end with another connection, and tells whether it is that
// connection's first.
func (s *sessions) move(name []byte, token int64, client uint64) (first bool) {
	h := held{token, string(name)}
	lease := s.leases[h]
	if lease == nil || lease.client == client {
		return false
	}
	lease.client = client
	return s.belongs(h, client, lease.expires-1)
}

func (s *sessions) extend(name []byte, token, expires int64) {
	if lease := s.leases[held{token, string(name)}]; lease != nil {
		lease.expires = expires
	}
}

// forget drops a lease that ended otherwise.
func (s *sessions) forget(name []byte, token int64) { delete(s.leases, held{token, string(name)}) }

// disconnected notes that a client is gone, and tells whether it had leases.
func (s *sessions) disconnected(client uint64) bool {
	leases, ok := s.clients[client]
	if ok {
		delete(s.clients, client)
		s.ended = append(s.ended, endedSession{client, leases})
	}
	return ok
}

// ending tells whether leases of clients that are gone are still to be ended.
func (s *sessions) ending() bool { return len(s.ended) > 0 }

// next takes one lease of a client that is gone, with no token where that lease
// has ended otherwise. more is false when there was none left.
func (s *sessions) next() (g lost, more bool) {
	n := len(s.ended)
	if n == 0 {
		return g, false
	}
	end := &s.ended[n-1]
	if len(end.leases) == 0 {
		if s.ended = s.ended[:n-1]; n == 1 {
			s.ended = nil
		}
		return g, true
	}
	last := len(end.leases) - 1
	h := end.leases[last]
	end.leases = end.leases[:last]
	if lease := s.leases[h]; lease != nil && lease.client == end.client {
		g = lost{Key{lease.db, h.name}, lease.owner, h.token}
		delete(s.leases, h)
	}
	return g, true
}

func (s *sessions) swap(a, b int) {
	for _, lease := range s.leases {
		k := Key{DB: lease.db}
		k.swap(a, b)
		lease.db = k.DB
	}
}
