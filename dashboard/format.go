package dashboard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/queue"
)

// number writes 1204 as 1,204.
func number[N int | int64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	from := 0
	if n < 0 {
		from = 1
	}
	for i := len(text) - 3; i > from; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func noun(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func count(n int, one, many string) string { return number(n) + " " + noun(n, one, many) }

// span writes a duration in its two greatest units. script.js does the same.
func span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	s := int64(d / time.Second)
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	case s < 86400:
		return strings.TrimSuffix(fmt.Sprintf("%dh %dm", s/3600, s/60%60), " 0m")
	}
	return strings.TrimSuffix(fmt.Sprintf("%dd %dh", s/86400, s/3600%24), " 0h")
}

// took writes how long something took: below ten seconds, with a decimal.
func took(d time.Duration) string {
	if d < time.Second || d >= 10*time.Second {
		return span(d)
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// moment writes a time as how long ago it is, or in how long it will be: with the script it goes
// on counting. The exact time is its title.
func moment(at, now time.Time, manner string) template.HTML {
	if at.IsZero() {
		return "–"
	}
	at = at.Round(time.Second)
	ahead := at.Sub(now) > time.Second
	text := span(now.Sub(at).Truncate(time.Second))
	if text == "0ms" {
		text = "0s"
	}
	switch {
	case manner == "age":
	case ahead:
		text = "in " + text
	default:
		text += " ago"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-as="%s" title="%s">%s</time>`, at.UTC().Format(time.RFC3339), manner, at.Local().Format("Mon 2 Jan 2006 15:04:05 MST"), text))
}

// lease draws what is left of a lease as a bar that runs down.
func lease(left, whole time.Duration, now time.Time) template.HTML {
	if left < 0 {
		return `<span class="quiet">does not end</span>`
	}
	whole = max(whole, left, time.Millisecond)
	low := ""
	if left < whole/5 {
		low = ` class="low"`
	}
	return template.HTML(fmt.Sprintf(`<span class="lease"><progress%s max="%d" value="%d" data-until="%d" aria-label="left of the lease">%[5]s</progress><output>%[5]s</output></span>`,
		low, whole.Milliseconds(), left.Milliseconds(), now.Add(left).Round(500*time.Millisecond).UnixMilli(), span(left.Truncate(time.Second))))
}

// spark draws counts as small bars.
func spark(counts []int) template.HTML {
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d 20" width="%d" height="20" role="img" aria-label="over time, the most at once: %d">`, len(counts)*4, len(counts)*4, most)
	for i, n := range counts {
		h := 1
		if n > 0 {
			h = 3 + n*17/most
		}
		class := "some"
		if n == 0 {
			class = "none"
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="3" height="%d"/>`, class, i*4, 20-h, h)
	}
	return template.HTML(b.String() + "</svg>")
}

// cut shortens a text in its middle, so that its end stays.
func cut(most int, s string) string {
	s = printable(s)
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most*2/3]) + " … " + string(r[len(r)-most/3:])
}

// short is a name as a page shows it.
func short(name string) string { return cut(120, name) }

// clip is the first part of a long text, with its lines.
func clip(s string) string {
	if len(s) <= shownMost {
		return s
	}
	return string(cutBytes([]byte(s), shownMost)) + " …"
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
}

// gist is a payload in one line: of an object, its fields. The payload may be the first part of
// so many bytes.
func gist(payload []byte, size int) string {
	n, ok := treeOf(payload)
	if !ok || n.Kind != "object" {
		if !utf8.Valid(payload) {
			return "binary, " + sizeOf(size)
		}
		return cut(120, string(payload))
	}
	var parts []string
	for _, c := range n.Children {
		text := c.Text
		switch c.Kind {
		case "object":
			text = "{…}"
		case "array":
			text = fmt.Sprintf("[%d]", len(c.Children))
		}
		parts = append(parts, c.Name+"="+cut(40, text))
	}
	return cut(140, strings.Join(parts, "  "))
}

// shownMost is how much of a payload is shown.
const shownMost = 64 << 10

func sizeOf(n int) string {
	if n < 10_000 {
		return number(n) + " bytes"
	}
	return number(n>>10) + " KiB"
}

// node is a JSON value, with its fields in their order and its numbers as they were written.
type node struct {
	Name, Kind, Text string
	Children         []node
}

func treeOf(payload []byte) (node, bool) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	n, err := readNode(d, "", 0)
	if err != nil {
		return node{}, false
	}
	_, err = d.Token()
	return n, errors.Is(err, io.EOF)
}

func readNode(d *json.Decoder, name string, depth int) (node, error) {
	n := node{Name: name}
	if depth > 50 {
		return n, errors.New("too deep")
	}
	token, err := d.Token()
	if err != nil {
		return n, err
	}
	switch t := token.(type) {
	case json.Delim:
		if n.Kind = "array"; t == '{' {
			n.Kind = "object"
		}
		for d.More() {
			field := strconv.Itoa(len(n.Children))
			if t == '{' {
				key, err := d.Token()
				if err != nil {
					return n, err
				}
				field, _ = key.(string)
			}
			child, err := readNode(d, field, depth+1)
			if err != nil {
				return n, err
			}
			n.Children = append(n.Children, child)
		}
		_, err = d.Token()
	case string:
		n.Kind, n.Text = "string", t
	case json.Number:
		n.Kind, n.Text = "number", t.String()
	case nil:
		n.Kind, n.Text = "null", "null"
	default:
		n.Kind, n.Text = "bool", fmt.Sprint(t)
	}
	return n, err
}

func hexOf(payload []byte) string { return hex.Dump(payload) }

// eta tells when a queue will be empty.
func eta(q queue.Overview) string {
	switch {
	case q.Ready == 0 || q.InPerMinute < 0:
		return ""
	case q.Paused:
		return "paused"
	case q.OutPerMinute > q.InPerMinute:
		return "empty in " + span(time.Duration(float64(q.Ready)/float64(q.OutPerMinute-q.InPerMinute)*float64(time.Minute)).Round(time.Second))
	case q.InPerMinute > q.OutPerMinute:
		return "grows by " + number(q.InPerMinute-q.OutPerMinute) + " a minute"
	case q.OutPerMinute == 0:
		return "stands still"
	}
	return "keeps its length"
}
