// Package chart draws the two kinds of chart that the results want, as SVG that
// can be read on light and on dark pages.
package chart

import (
	"fmt"
	"math"
	"strings"
)

// width of every chart, in the units of SVG, which a page scales as it likes.
const width = 800

// style has the colours, of which ours is c0. The card behind the chart changes
// with them, so that what is drawn can be read even on a page that does not.
const style = `<style>
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#1f2328}
.title{font-size:17px;font-weight:600}.sub,.tick{fill:#59636e}.tick{font-size:12px}
.card{fill:#fff;stroke:#d1d9e0}.grid{stroke:#e4e8ec;stroke-width:1}.axis{stroke:#818b98;stroke-width:1.5}
.goal{stroke:#1f2328;stroke-width:2}.range{stroke:#1f2328;stroke-opacity:.45;stroke-width:1.5}.strong{font-weight:600}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.thick{stroke-width:3.4}
.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#8250df}.s4{stroke:#bf3989}.s5{stroke:#6e7781}
.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.f4{fill:#bf3989}.f5{fill:#6e7781}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}.sub,.tick{fill:#9198a1}.card{fill:#0d1117;stroke:#3d444d}.grid{stroke:#262c36}.axis{stroke:#656c76}
.goal{stroke:#f0f6fc}.range{stroke:#f0f6fc}
.s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#bc8cff}.s4{stroke:#f778ba}.s5{stroke:#9198a1}
.f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#bc8cff}.f4{fill:#f778ba}.f5{fill:#9198a1}
}</style>
`

// colours is how many series have a colour of their own.
const colours = 6

// svg is a drawing that grows.
type svg struct{ strings.Builder }

// begin opens a drawing of the given height with its title and the line below.
func begin(height float64, title, sub string) *svg {
	s := &svg{}
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %g" width="%d" height="%g" role="img" aria-label="%s">`+"\n", width, height, width, height, escape(title))
	s.WriteString("<title>" + escape(title) + "</title>\n" + style)
	fmt.Fprintf(s, `<rect class="card" x="0.5" y="0.5" width="%d" height="%g" rx="8"/>`+"\n", width-1, height-1)
	s.text(20, 30, "title", "start", title)
	s.text(20, 51, "sub", "start", sub)
	return s
}

func (s *svg) end() string { s.WriteString("</svg>\n"); return s.String() }

func (s *svg) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(s, `<text x="%s" y="%s" class="%s" text-anchor="%s">%s</text>`+"\n", num(x), num(y), class, anchor, escape(text))
}

// upright is text that reads from below.
func (s *svg) upright(x, y float64, class, text string) {
	fmt.Fprintf(s, `<text x="%s" y="%s" class="%s" text-anchor="middle" transform="rotate(-90 %s %s)">%s</text>`+"\n", num(x), num(y), class, num(x), num(y), escape(text))
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(s, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`+"\n", num(x1), num(y1), num(x2), num(y2), class)
}

func (s *svg) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(s, `<rect x="%s" y="%s" width="%s" height="%s" rx="2" class="%s"/>`+"\n", num(x), num(y), num(max(w, 1)), num(h), class)
}

func (s *svg) dot(x, y, r float64, class string) {
	fmt.Fprintf(s, `<circle cx="%s" cy="%s" r="%s" class="%s"/>`+"\n", num(x), num(y), num(r), class)
}

func num(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", v), "0"), ".")
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace

// scale maps values to places, by their logarithms.
type scale struct{ from, to, at, size float64 }

func (c scale) place(v float64) float64 {
	v = min(max(v, c.from), c.to)
	return c.at + c.size*(math.Log(v)-math.Log(c.from))/(math.Log(c.to)-math.Log(c.from))
}

// decades widens a range to where ticks are: whole powers of ten, or where that
// is little, their halves and fifths too.
func decades(lo, hi float64) (from, to float64, ticks []float64) {
	steps := []float64{1}
	if hi/lo < 50 {
		steps = []float64{1, 2, 5}
	}
	for e := math.Floor(math.Log10(lo)); e <= math.Log10(hi)+1; e++ {
		for _, m := range steps {
			ticks = append(ticks, m*math.Pow(10, e))
		}
	}
	for len(ticks) > 2 && ticks[1] <= lo {
		ticks = ticks[1:]
	}
	for len(ticks) > 2 && ticks[len(ticks)-2] >= hi {
		ticks = ticks[:len(ticks)-1]
	}
	return ticks[0], ticks[len(ticks)-1], ticks
}
