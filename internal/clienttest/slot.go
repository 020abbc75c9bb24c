package clienttest

import (
	"context"
	"testing"

	"holdfast/holdfasttest"
)

// Slot is the slot of a key in a cluster of two nodes, on its way.
type Slot struct {
	From, To *holdfasttest.Instance
	t        *testing.T
	number   int64
}

// SlotOf is the slot of a key, and where it can go.
func SlotOf(t *testing.T, c *holdfasttest.ClusterInstance, key string) *Slot {
	t.Helper()
	s := &Slot{From: c.Nodes[0], To: c.Nodes[1], t: t}
	if c.Primary(key) == s.To {
		s.From, s.To = s.To, s.From
	}
	s.number = s.From.Client().ClusterKeySlot(context.Background(), key).Val()
	return s
}

// Begin begins the move: what is not there any more is asked of where it goes.
func (s *Slot) Begin() {
	s.t.Helper()
	s.set(s.To, "IMPORTING", s.From)
	s.set(s.From, "MIGRATING", s.To)
}

// End is the end of the move, or all of it when nothing is in the slot.
func (s *Slot) End() {
	s.t.Helper()
	s.set(s.To, "NODE", s.To)
	s.set(s.From, "NODE", s.To)
}

func (s *Slot) set(on *holdfasttest.Instance, state string, node *holdfasttest.Instance) {
	s.t.Helper()
	ctx := context.Background()
	id, err := node.Client().Do(ctx, "CLUSTER", "MYID").Text()
	if err == nil {
		err = on.Client().Do(ctx, "CLUSTER", "SETSLOT", s.number, state, id).Err()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
