package chart

import (
	"fmt"
	"slices"
	"strings"
)

// Line is a series of points; the first of a chart is ours.
type Line struct {
	Name   string
	Points []Point
}

// Point is a place in a chart, both of its numbers greater than 0.
type Point struct{ X, Y float64 }

// Lines draws series over the same places, both scales logarithmic.
type Lines struct {
	Title, Sub, XAxis, YAxis string
	Lines                    []Line
	Number                   func(float64) string
}

// SVG is the chart.
func (c Lines) SVG() string {
	const top, bottom, left, right, pad = 76, 360, 84, 560, 14
	s := begin(bottom+58, c.Title, c.Sub)
	lo, hi := 0.0, 0.0
	var xs []float64
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if hi == 0 {
				lo, hi = p.Y, p.Y
			}
			lo, hi = min(lo, p.Y), max(hi, p.Y)
			xs = append(xs, p.X)
		}
	}
	if len(xs) == 0 {
		return s.end()
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	x := scale{xs[0], max(xs[len(xs)-1], xs[0]*1.01), left + pad, right - left - 2*pad}
	from, to, ticks := decades(lo, hi*1.001)
	y := scale{from, to, bottom, top - bottom}
	for _, t := range ticks {
		s.line(left, y.place(t), right, y.place(t), "grid")
		s.text(left-8, y.place(t)+4, "tick", "end", c.Number(t))
	}
	for _, v := range xs {
		s.line(x.place(v), bottom, x.place(v), bottom+5, "axis")
		s.text(x.place(v), bottom+20, "tick", "middle", c.Number(v))
	}
	s.line(left, bottom, right, bottom, "axis")
	s.text((left+right)/2, bottom+42, "sub", "middle", c.XAxis)
	s.upright(24, (top+bottom)/2, "sub", c.YAxis)

	// Ours is drawn last, on top of the others.
	for i := len(c.Lines) - 1; i >= 0; i-- {
		l := c.Lines[i]
		k := i % colours
		var path []string
		for _, p := range l.Points {
			path = append(path, num(x.place(p.X))+","+num(y.place(p.Y)))
		}
		thick := ""
		if i == 0 {
			thick = " thick"
		}
		fmt.Fprintf(s, `<polyline class="line s%d%s" points="%s"/>`+"\n", k, thick, strings.Join(path, " "))
		for _, p := range l.Points {
			s.dot(x.place(p.X), y.place(p.Y), 4, fmt.Sprint("f", k))
		}
	}
	for i, p := range c.places(y, top, bottom) {
		l := c.Lines[i]
		if len(l.Points) == 0 {
			continue
		}
		end := l.Points[len(l.Points)-1]
		s.text(right+12, p+4, fmt.Sprintf("strong f%d", i%colours), "start", c.Number(end.Y))
		s.text(right+62, p+4, fmt.Sprintf("f%d", i%colours), "start", l.Name)
	}
	return s.end()
}

// places are the heights of the series' names, beside their last points but not
// on top of each other.
func (c Lines) places(y scale, top, bottom float64) []float64 {
	const apart = 19
	order := make([]int, len(c.Lines))
	at := make([]float64, len(c.Lines))
	for i, l := range c.Lines {
		order[i] = i
		if n := len(l.Points); n > 0 {
			at[i] = y.place(l.Points[n-1].Y)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return int(at[a]*10) - int(at[b]*10) })
	next := top
	for _, i := range order {
		at[i] = max(at[i], next)
		next = at[i] + apart
	}
	// What was pushed below the axis comes up again.
	last := bottom
	for _, i := range slices.Backward(order) {
		at[i] = min(at[i], last)
		last = at[i] - apart
	}
	return at
}
