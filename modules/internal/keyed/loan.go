package keyed

// Loan is room that the caller fills by itself: it lets tasks of a key straight in and says so
// later.
type Loan struct {
	left *int64
	keys *Keys // nil once the loan has ended
	key  *key
	at   int // in Keys.loans
}

// Quiet reports whether all is known and nothing is held: then no entry that leaves lets
// another task in.
func (s *Keys) Quiet() bool { return s.Known() && s.held == 0 }

// Lends reports whether Lend may be called for a key: there is room that no time or consumer
// changes, and it is not lent yet.
func (s *Keys) Lends(name []byte) bool {
	if !s.Quiet() || s.rule.Most == 0 || s.rule.Soft || s.rule.Rate > 0 {
		return false
	}
	k := s.names[string(name)]
	return k != nil && k.loan == nil && k.in.n < s.rule.Most
}

// Lend lends the room of a key. Until the loan ends, *left is how many of its tasks may go
// straight in without Admit, whatever else is said of the key. The caller counts *left down
// for each, and says Loan.Enter for all of them before it calls anything else of Keys. A key
// whose room is lent takes memory also when nothing of it is in.
func (s *Keys) Lend(name []byte, left *int64) *Loan {
	l := &Loan{left: left, keys: s, key: s.names[string(name)], at: len(s.loans)}
	s.loans = append(s.loans, l)
	l.key.loan = l
	s.tell(l.key)
	return l
}

// tell says how much room a key has to whom it is lent.
func (s *Keys) tell(k *key) {
	if k.loan != nil {
		*k.loan.left = s.rule.Most - k.in.n
	}
}

// Enter says that an entry is in that the caller let in by itself.
func (l *Loan) Enter(id ID) {
	if s := l.keys; s != nil {
		s.known(id)
		s.enter(l.key, id)
	}
}

// End ends the loan, and *left is 0. It may be said twice.
func (l *Loan) End() {
	s, k := l.keys, l.key
	if s == nil {
		return
	}
	last := s.loans[len(s.loans)-1]
	s.loans[l.at], last.at = last, l.at
	s.loans = s.loans[:len(s.loans)-1]
	*l.left, l.keys, l.key, k.loan = 0, nil, nil, nil
	s.drop(k)
}

// Recall ends all loans and calls Recalled. The Keys do so by themselves when they are not Quiet
// any more. Nil has lent nothing.
func (s *Keys) Recall() {
	if s == nil {
		return
	}
	for n := len(s.loans); n > 0; n = len(s.loans) {
		s.loans[n-1].End()
	}
	if s.Recalled != nil {
		s.Recalled()
	}
}

// Unsure says that others may have added entries. They are to be read as Walk tells.
func (s *Keys) Unsure() {
	s.Walk.Entered = false
	s.Recall()
}
