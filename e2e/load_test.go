package e2e

import (
	"context"
	"testing"

	"holdfast/holdfasttest"
)

func TestTheThreeModulesLoad(t *testing.T) {
	s := holdfasttest.New(t)
	list, err := s.Client().Do(context.Background(), "MODULE", "LIST").Slice()
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
}
