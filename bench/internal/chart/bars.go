package chart

// Bar is one factor: how many times as good one thing is as another.
type Bar struct {
	Label     string
	Value     float64 // 1 is as good
	Low, High float64 // its spread
	Goal      float64 // what it should be at least; 0 for none
	Text      string  // the value in words
}

// Bars draws factors, to the right of 1 what is better and to the left what is
// worse. The scale is logarithmic, so that twice and half are equally long.
type Bars struct {
	Title, Sub, Axis string
	Bars             []Bar
	Number           func(float64) string // how a tick is written
}

// SVG is the chart.
func (c Bars) SVG() string {
	const (
		row, top, left, right = 30, 72, 366, 690
		pad                   = 18
	)
	bottom := float64(top + row*len(c.Bars))
	s := begin(bottom+54, c.Title, c.Sub)
	lo, hi := 0.8, 1.25
	for _, b := range c.Bars {
		lo, hi = min(lo, b.Low, b.Value), max(hi, b.High, b.Value, b.Goal)
		if b.Goal > 0 {
			lo = min(lo, b.Goal)
		}
	}
	from, to, ticks := decades(lo, hi)
	x := scale{from, to, left + pad, right - left - 2*pad}
	for _, t := range ticks {
		class := "grid"
		if t == 1 {
			class = "axis"
		}
		s.line(x.place(t), top-8, x.place(t), bottom, class)
		s.text(x.place(t), bottom+18, "tick", "middle", c.Number(t)+"×")
	}
	for i, b := range c.Bars {
		y := float64(top + row*i)
		a, z := x.place(1), x.place(b.Value)
		class := "f0"
		if b.Value < 1 {
			a, z, class = z, a, "f1"
		}
		s.text(left-6, y+18, "", "end", b.Label)
		s.rect(a, y+5, z-a, 16, class)
		if b.Low < b.High {
			s.line(x.place(b.Low), y+13, x.place(b.High), y+13, "range")
		}
		if b.Goal > 0 {
			s.line(x.place(b.Goal), y, x.place(b.Goal), y+26, "goal")
		}
		s.text(right+4, y+18, "strong", "start", b.Text)
	}
	s.line(left+pad, bottom, right-pad, bottom, "axis")
	s.text((left+right)/2, bottom+40, "sub", "middle", c.Axis)
	return s.end()
}
