// Package result is what a run of the benchmarks leaves behind: figures, each
// with its spread and how often it was measured, and what they were measured on.
// It reads and writes them, compares two runs, and makes tables of them.
package result

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Run is everything one run found out.
type Run struct {
	Date     string   `json:"date"` // UTC, when the run began
	Commit   string   `json:"commit,omitempty"`
	Machine  Machine  `json:"machine"`
	Seconds  int      `json:"seconds"`
	Quick    bool     `json:"quick,omitempty"` // a look, no measurement
	Complete bool     `json:"complete"`        // every group ran to its end
	Groups   []Group  `json:"groups"`          // as they ran
	Figures  []Figure `json:"figures"`         // likewise
}

// Machine is what a run was made on.
type Machine struct {
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	MemoryGB float64 `json:"memory_gb"`
	Kernel   string  `json:"kernel"`
	Go       string  `json:"go"`
	Server   string  `json:"server"`
}

// Group is a set of figures that was measured by one process.
type Group struct {
	Name    string `json:"name"`
	Seconds int    `json:"seconds"`
	Error   string `json:"error,omitempty"` // why it has fewer figures than it should
	Again   string `json:"again,omitempty"` // when, and at which commit, it was run again
}

// Put puts a group and its figures into the run, in place of those of an earlier try.
func (r *Run) Put(g Group, figures []Figure) {
	ours := func(f Figure) bool { return f.Group == g.Name }
	at := slices.IndexFunc(r.Figures, ours)
	r.Figures = slices.DeleteFunc(r.Figures, ours)
	if at < 0 {
		at = len(r.Figures)
	}
	r.Figures = slices.Insert(r.Figures, at, figures...)
	if i := slices.IndexFunc(r.Groups, func(o Group) bool { return o.Name == g.Name }); i >= 0 {
		r.Groups[i] = g
	} else {
		r.Groups = append(r.Groups, g)
	}
	r.Complete = !slices.ContainsFunc(r.Groups, func(g Group) bool { return g.Error != "" })
}

// Figure is one thing measured: of ours alone, or beside a peer's.
type Figure struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Unit  string `json:"unit,omitempty"`
	Stat
	Peer *Peer  `json:"peer,omitempty"`
	Goal *Goal  `json:"goal,omitempty"`
	Met  *bool  `json:"met,omitempty"` // whether the goal is
	Note string `json:"note,omitempty"`
}

// Stat sums up several measurements of the same.
type Stat struct {
	Value  float64    `json:"value"`  // the median
	Spread [2]float64 `json:"spread"` // the least and the greatest
	N      int        `json:"n"`      // how many there were
}

// Peer is the same measured of something else, in turn with ours.
type Peer struct {
	Name string `json:"name"`
	Stat
	Ratio Stat `json:"ratio"` // ours / theirs, pair by pair
}

// Median sums up measurements, of which there must be one at least.
func Median(v ...float64) Stat {
	s := slices.Sorted(slices.Values(v))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (m + s[len(s)/2-1]) / 2
	}
	return Stat{m, [2]float64{s[0], s[len(s)-1]}, len(s)}
}

// Quantile is the q-th part of measurements, from 0, the least, to 1, the greatest.
func Quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[min(int(float64(len(s))*q), len(s)-1)]
}

// Beside sums up measurements of ours and of a peer's that were made in pairs.
func Beside(name string, ours, theirs []float64) (Stat, *Peer) {
	ratios := make([]float64, len(ours))
	for i := range ours {
		switch {
		case ours[i] == theirs[i]:
			ratios[i] = 1 // 0 beside 0 too
		default:
			ratios[i] = ours[i] / max(theirs[i], 1e-3)
		}
	}
	return Median(ours...), &Peer{name, Median(theirs...), Median(ratios...)}
}

// Goal is what a ratio ought to be, or the figure itself where there is no peer.
// In JSON it is text, as "≤ 1.3".
type Goal struct {
	Least bool // at least Limit; else at most
	Limit float64
}

// AtMost and AtLeast are goals.
func AtMost(limit float64) *Goal  { return &Goal{false, limit} }
func AtLeast(limit float64) *Goal { return &Goal{true, limit} }

func (g Goal) String() string {
	sign := "≤"
	if g.Least {
		sign = "≥"
	}
	return sign + " " + Number(g.Limit)
}

func (g Goal) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

func (g *Goal) UnmarshalText(text []byte) (err error) {
	sign, limit, _ := strings.Cut(string(text), " ")
	g.Least = sign == "≥"
	if !g.Least && sign != "≤" {
		return fmt.Errorf("%q is no goal", text)
	}
	g.Limit, err = strconv.ParseFloat(strings.ReplaceAll(limit, ",", ""), 64)
	return err
}

func (g Goal) holds(v float64) bool {
	if g.Least {
		return v >= g.Limit
	}
	return v <= g.Limit
}

// Set gives a figure a goal and finds whether it is met.
func (f *Figure) Set(g *Goal) {
	if f.Goal = g; g != nil {
		met := g.holds(f.Judged().Value)
		f.Met = &met
	}
}

// Judged is what a goal is about, and what two runs are compared by: the ratio
// where there is one, because drift and the machine are in both of its sides.
func (f Figure) Judged() Stat {
	if f.Peer != nil {
		return f.Peer.Ratio
	}
	return f.Stat
}

// More tells whether more of the figure is better: what is done in a second and
// what is shared out fairly, and what has a lower bound for its goal. Of all else,
// time, memory, commands, less is.
func (f Figure) More() bool {
	return f.Goal != nil && f.Goal.Least || strings.HasSuffix(f.Unit, "per s") || strings.HasSuffix(f.Unit, "share")
}

// Key tells figures of a run apart.
func (f Figure) Key() string {
	if f.Peer != nil {
		return f.Group + ": " + f.Name + ", beside " + f.Peer.Name
	}
	return f.Group + ": " + f.Name
}

// Write writes a run to a file, whole or not at all.
func (r Run) Write(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Read reads what Write wrote.
func Read(path string) (r Run, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Newest are the results in a folder, the newest last: their names are dates.
func Newest(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	slices.SortFunc(paths, cmp.Compare)
	return paths, err
}
