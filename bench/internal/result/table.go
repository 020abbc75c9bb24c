package result

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Number writes a number so that it is read at a glance: three digits that count,
// and thousands set apart.
func Number(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 1000:
		scale := math.Pow(10, math.Floor(math.Log10(a))-2)
		if a == math.Trunc(a) && a < 1e4 {
			scale = 1
		}
		return thousands(strconv.FormatFloat(math.Round(v/scale)*scale, 'f', 0, 64))
	case a == math.Trunc(a):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return trim(strconv.FormatFloat(v, 'f', 1, 64))
	case a >= 0.095:
		return trim(strconv.FormatFloat(v, 'f', 2, 64))
	case a >= 0.0005:
		return trim(strconv.FormatFloat(v, 'f', 3, 64))
	}
	return "0"
}

// trim takes the zeros off that say nothing: a goal of 0.90 is 0.9.
func trim(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

func thousands(s string) string {
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func (s Stat) String() string {
	if s.N < 2 || s.Spread[0] == s.Spread[1] {
		return Number(s.Value)
	}
	return fmt.Sprintf("%s (%s–%s)", Number(s.Value), Number(s.Spread[0]), Number(s.Spread[1]))
}

// Verdict says whether a goal is met.
func (f Figure) Verdict() string {
	switch {
	case f.Met == nil:
		return ""
	case *f.Met:
		return "met"
	}
	return "MISSED"
}

// Cells are a figure as a line of a table: what, ours, beside what, theirs, ratio,
// goal, verdict.
func (f Figure) Cells() []string {
	name := f.Name
	if f.Unit != "" {
		name += ", " + f.Unit
	}
	c := []string{name, f.Stat.String(), "", "", "", "", f.Verdict()}
	if f.Peer != nil {
		c[1], c[2], c[3], c[4] = Number(f.Value), f.Peer.Name, Number(f.Peer.Value), f.Peer.Ratio.String()
	}
	if f.Goal != nil {
		c[5] = f.Goal.String()
	}
	return c
}

// Titles are what Cells are.
var Titles = []string{"what", "ours", "beside", "theirs", "ratio (least–greatest)", "goal", ""}

// Markdown is the figures of one group in tables: those that stand beside several
// others in one with a column for each, the rest in one with a line for each.
// Columns in which nothing stands are left out.
func Markdown(figures []Figure) string {
	often := map[string]int{}
	for _, f := range figures {
		if f.Peer != nil {
			often[f.Name]++
		}
	}
	var many, rest []Figure
	for _, f := range figures {
		if f.Peer != nil && often[f.Name] > 1 && f.Goal == nil {
			many = append(many, f)
		} else {
			rest = append(rest, f)
		}
	}
	switch {
	case len(many) == 0:
		return table(rest)
	case len(rest) == 0:
		return pivot(many)
	}
	return pivot(many) + "\n" + table(rest)
}

// pivot has a line for each thing measured, and a column for ours and each peer.
func pivot(figures []Figure) string {
	var peers, names []string
	cells := map[[2]string]string{}
	for _, f := range figures {
		name := f.Cells()[0]
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if !slices.Contains(peers, f.Peer.Name) {
			peers = append(peers, f.Peer.Name)
		}
		cells[[2]string{name, ""}] = "**" + Number(f.Value) + "**"
		cells[[2]string{name, f.Peer.Name}] = Number(f.Peer.Value)
	}
	var b strings.Builder
	b.WriteString("| | ours | " + strings.Join(peers, " | ") + " |\n|---|" + strings.Repeat("--:|", len(peers)+1) + "\n")
	for _, name := range names {
		b.WriteString("| " + name + " | " + cells[[2]string{name, ""}])
		for _, p := range peers {
			b.WriteString(" | " + cells[[2]string{name, p}])
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

func table(figures []Figure) string {
	rows := [][]string{Titles}
	used := make([]bool, len(Titles))
	for _, f := range figures {
		cells := f.Cells()
		if cells[6] == "MISSED" {
			cells[6] = "**missed**"
		}
		for i, c := range cells {
			used[i] = used[i] || c != ""
		}
		rows = append(rows, cells)
	}
	var b strings.Builder
	for n, row := range rows {
		rule := ""
		for i, c := range row {
			if !used[i] {
				continue
			}
			b.WriteString("| " + strings.ReplaceAll(c, "|", "\\|") + " ")
			if i == 1 || i == 3 || i == 4 {
				rule += "|--:"
			} else {
				rule += "|---"
			}
		}
		b.WriteString("|\n")
		if n == 0 {
			b.WriteString(rule + "|\n")
		}
	}
	return b.String()
}
