package dispatch

// Handout is tasks that a waiter was given and whose connection was gone before it
// could be told: between the hand-out and the reply it can die.
type Handout struct {
	Key
	Group    string
	Consumer string
	IDs      []ID
}

// GiveBack notes a hand-out that nobody saw, until somebody may write.
func (t *Table) GiveBack(h Handout) { t.unseen = append(t.unseen, h) }

// Unseen is the oldest hand-out that nobody saw, nil when there is none. What is
// taken out of its IDs is done with.
func (t *Table) Unseen() *Handout {
	for len(t.unseen) > 0 && len(t.unseen[0].IDs) == 0 {
		t.unseen = t.unseen[1:]
	}
	if len(t.unseen) == 0 {
		t.unseen = nil
		return nil
	}
	return &t.unseen[0]
}

// ForgetUnseen forgets all hand-outs that nobody saw: leases bring them back.
func (t *Table) ForgetUnseen() { t.unseen = nil }
