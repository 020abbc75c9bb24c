package locktable

import "slices"

// sessions knows which leases end with which connection. It is as mortal as
// the connections are: after a restart there are none, and the expiry is what
// ends the leases of those who held them. The zero value is empty.
type sessions struct {
	clients map[uint64][]int64 // the tokens of each, dead ones included
	leases  map[int64]*sessionLease
}

type sessionLease struct {
	client  uint64
	key     Key
	owner   string
	expires int64
}

// add notes a lease, and tells whether it is the connection's first.
func (s *sessions) add(r *Request, token, expires, now int64) (first bool) {
	if s.leases == nil {
		s.clients = map[uint64][]int64{}
		s.leases = map[int64]*sessionLease{}
	}
	tokens, known := s.clients[r.Client]
	if len(tokens) == cap(tokens) { // before it grows: a long session must not
		tokens = s.prune(tokens, now)
		if len(tokens) > cap(tokens)/2 {
			tokens = slices.Grow(tokens, len(tokens))
		}
	}
	s.clients[r.Client] = append(tokens, token)
	s.leases[token] = &sessionLease{r.Client, Key{r.DB, string(r.Name)}, string(r.Owner), expires}
	return !known
}

// prune drops what was released or ran out.
func (s *sessions) prune(tokens []int64, now int64) []int64 {
	kept := tokens[:0]
	for _, token := range tokens {
		switch lease := s.leases[token]; {
		case lease == nil:
		case lease.expires <= now:
			delete(s.leases, token)
		default:
			kept = append(kept, token)
		}
	}
	return kept
}

func (s *sessions) extend(token, expires int64) {
	if lease := s.leases[token]; lease != nil {
		lease.expires = expires
	}
}

// forget drops a lease that ended otherwise.
func (s *sessions) forget(token int64) { delete(s.leases, token) }

// end is what a client held that is gone.
func (s *sessions) end(client uint64) (ended []lost) {
	for _, token := range s.clients[client] {
		if lease := s.leases[token]; lease != nil {
			ended = append(ended, lost{lease.key, lease.owner, token, false})
			delete(s.leases, token)
		}
	}
	delete(s.clients, client)
	return ended
}

func (s *sessions) swap(a, b int) {
	for _, lease := range s.leases {
		lease.key.swap(a, b)
	}
}
