package result

import (
	"fmt"
	"math"
)

// Move is a figure that two runs differ in.
type Move struct {
	Old, New Figure
	Change   float64 // of what is judged: 0.1 is a tenth more
	Worse    bool
}

func (m Move) String() string {
	word := "better"
	if m.Worse {
		word = "worse"
	}
	what := "value"
	if m.New.Peer != nil {
		what = "ratio"
	}
	s := fmt.Sprintf("%s: %s: %s %s → %s (%+.0f %%)", word, m.New.Key(), what, m.Old.Judged(), m.New.Judged(), 100*m.Change)
	if m.New.Met != nil && !*m.New.Met && m.Old.Met != nil && *m.Old.Met {
		s += ", and misses its goal now"
	}
	return s
}

// Least change that counts, of figures with and without a spread to judge by.
const (
	leastChange     = 0.05
	leastChangeOnce = 0.25
)

// Compare finds what moved more than the noise from one run to another: figures
// whose medians lie outside each other's spreads and at least a twentieth apart
// (a quarter, where there was one measurement). Gone are those that only the old
// run has.
func Compare(before, after Run) (moves []Move, gone []string) {
	now := map[string]Figure{}
	for _, f := range after.Figures {
		now[f.Key()] = f
	}
	for _, o := range before.Figures {
		n, there := now[o.Key()]
		if !there {
			gone = append(gone, o.Key())
			continue
		}
		x, y := o.Judged(), n.Judged()
		least := leastChange
		if x.N < 2 || y.N < 2 {
			least = leastChangeOnce
		}
		change := (y.Value - x.Value) / max(math.Abs(x.Value), 1e-9)
		if math.Abs(change) < least || within(x.Value, y) || within(y.Value, x) {
			continue
		}
		moves = append(moves, Move{o, n, change, change > 0 != n.More()})
	}
	return moves, gone
}

func within(v float64, s Stat) bool { return s.N > 1 && s.Spread[0] <= v && v <= s.Spread[1] }
