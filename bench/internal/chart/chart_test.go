package chart

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

func number(v float64) string { return fmt.Sprint(v) }

var bars = Bars{Title: `A & B <"C">`, Sub: "s", Axis: "x", Number: number, Bars: []Bar{
	{Label: "better", Value: 12, Low: 9, High: 20, Goal: 5, Text: "12×"},
	{Label: "worse", Value: 0.5, Low: 0.4, High: 0.6, Text: "0.5×"},
}}

var lines = Lines{Title: "T", Sub: "s", XAxis: "x", YAxis: "y", Number: number, Lines: []Line{
	{"ours", []Point{{1, 2}, {10, 3}, {100, 3}}},
	{"theirs", []Point{{1, 2}, {10, 400}, {100, 3.1}}},
	{"none", nil},
}}

func TestChartsAreWellFormedAndStayInside(t *testing.T) {
	for name, svg := range map[string]string{
		"bars": bars.SVG(), "lines": lines.SVG(), "no bars": Bars{Number: number}.SVG(), "no lines": Lines{Number: number}.SVG(),
		"one point": Lines{Number: number, Lines: []Line{{"a", []Point{{1, 1}}}}}.SVG(),
	} {
		height := 0.0
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, svg)
			}
			element, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			for _, a := range element.Attr {
				limit := map[string]float64{"x": width, "x1": width, "x2": width, "cx": width, "y": height, "y1": height, "y2": height, "cy": height}[a.Name.Local]
				v, err := strconv.ParseFloat(a.Value, 64)
				switch {
				case a.Name.Local == "height" && element.Name.Local == "svg":
					height = v
				case limit > 0 && (err != nil || v < 0 || v > limit):
					t.Errorf("%s: %s of %s is %s", name, a.Name.Local, element.Name.Local, a.Value)
				}
			}
		}
	}
}

func TestWhatIsBetterIsToTheRight(t *testing.T) {
	svg := bars.SVG()
	if !strings.Contains(svg, `class="f0"`) || !strings.Contains(svg, `class="f1"`) {
		t.Error("better and worse have one colour")
	}
	c := scale{0.1, 100, 0, 300}
	if a, b, z := c.place(0.5), c.place(1), c.place(12); !(a < b && b < z) || b != 100 {
		t.Error(a, b, z)
	}
}

func TestTicksSpanTheValues(t *testing.T) {
	for _, c := range [][2]float64{{0.8, 1.25}, {1, 1}, {3, 7000}, {0.01, 0.02}} {
		from, to, ticks := decades(c[0], c[1])
		if from > c[0] || to < c[1] || from >= to || len(ticks) < 2 {
			t.Errorf("%v gives %g to %g, %v", c, from, to, ticks)
		}
	}
}

func TestNamesDoNotLieOnEachOther(t *testing.T) {
	at := lines.places(scale{1, 1000, 360, -284}, 76, 360)
	if d := at[0] - at[1]; d < 18 && d > -18 {
		t.Errorf("names at %v", at)
	}
}
