package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"holdfast/bench/internal/chart"
	"holdfast/bench/internal/result"
)

// charts are the pictures of a run, by name. What a run has no figures for is
// left out.
func charts(run result.Run) map[string]string {
	out := map[string]string{}
	for _, c := range []struct{ name, prefix, title string }{
		{"locks", "locks: uncontended", "Locks nobody else wants"},
		{"cache", "cache: hit", "Values that are there"},
		{"queue", "queue: ", "Tasks"},
	} {
		if svg := factors(run, c.prefix, c.title); svg != "" {
			out[c.name] = svg
		}
	}
	for _, c := range []struct {
		name, group, figure string
		chart               chart.Lines
	}{
		{"stampede", "cache: stampede", `^([\d,]+) callers: wait after the load, p99$`, chart.Lines{
			Title: "Many miss one value at once", Sub: "How long after the load does the 99th of 100 callers have it?",
			XAxis: "callers", YAxis: "wait after the load, ms"}},
		{"contended", "locks: contended", `^([\d,]+) clients: longest wait$`, chart.Lines{
			Title: "Many want one lock", Sub: "Each holds it for half a millisecond. How long does the unluckiest wait? (Runs of 0.5, 1.5 and 5 s end it.)",
			XAxis: "clients", YAxis: "longest wait, ms"}},
		{"idle", "queue: idle consumers", `^publish, wake and PING, idle consumers: ([\d,]+)$`, chart.Lines{
			Title: "Idle consumers", Sub: "How long is the server busy with one task that one of them gets?",
			XAxis: "consumers that wait", YAxis: "publish, wake one, and PING, µs"}},
	} {
		if c.chart.Lines = lines(run, c.group, c.figure); len(c.chart.Lines) > 1 {
			c.chart.Number = result.Number
			out[c.name] = c.chart.SVG()
		}
	}
	return out
}

// factors draws the ratios of groups as how many times as good ours is.
func factors(run result.Run, prefix, title string) string {
	c := chart.Bars{Title: title, Sub: "How many times as good as the other? To the left of 1× it is worse. An upright mark is a goal.",
		Axis: "times as good", Number: result.Number}
	for _, f := range run.Figures {
		if f.Peer == nil || !strings.HasPrefix(f.Group, prefix) || f.Peer.Ratio.Value <= 0 || strings.Contains(f.Name, "idle consumers:") ||
			strings.Contains(f.Name, "commands per") || strings.Contains(f.Name, "p99.9") {
			continue
		}
		r := f.Peer.Ratio
		b := chart.Bar{Label: short(f), Value: r.Value, Low: r.Spread[0], High: r.Spread[1]}
		if f.Goal != nil {
			b.Goal = f.Goal.Limit
		}
		if !f.More() {
			b.Value, b.Low, b.High = 1/b.Value, 1/b.High, 1/b.Low
			if b.Goal > 0 {
				b.Goal = 1 / b.Goal
			}
		}
		b.Text = result.Number(b.Value) + "×"
		if f.Met != nil && !*f.Met {
			b.Text += " missed"
		}
		c.Bars = append(c.Bars, b)
	}
	if len(c.Bars) == 0 {
		return ""
	}
	return c.SVG()
}

// short names a figure and its peer on one line of a chart.
func short(f result.Figure) string {
	cut := strings.NewReplacer(
		"acquire and release", "pair", " by clients", "", "cache.Fetch of a value that is there", "cache.Fetch",
		", one client, pipeline of 100", ", 100 at once", ", 20 clients, one at a time each", ", 20 clients",
		", pipeline of 100", ", 100 at once", ", pipeline of 50", ", 50 at once", ", pipeline of 1", ", one at a time",
		"SET NX PX and EVALSHA", "SET NX", ", every 10 ms", "", "SET NX PX", "SET NX", "EVALSHA of the same", "EVALSHA",
		"XREADGROUP, XACK and XDEL", "XREADGROUP", "XACK and XDEL, one pipeline", "XACK, XDEL", "XACK, which deletes nothing", "XACK alone",
		"an idle worker has its task", "wake an idle worker", "rueidisaside, from its local copy", "rueidisaside, local",
		"go-redis GET in singleflight", "singleflight", "XADD and XREADGROUP", "XREADGROUP", "process by hand", "process", "acknowledge", "ack")
	return cut.Replace(f.Name) + " / " + cut.Replace(f.Peer.Name)
}

// lines are the figures whose names match, by the number in their names: ours, and
// that of each peer.
func lines(run result.Run, group, pattern string) (all []chart.Line) {
	matches := regexp.MustCompile(pattern)
	all = []chart.Line{{Name: "Holdfast"}}
	for _, f := range run.Figures {
		m := matches.FindStringSubmatch(f.Name)
		if m == nil || f.Group != group || f.Peer == nil {
			continue
		}
		x, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
		if err != nil {
			continue
		}
		if n := len(all[0].Points); n == 0 || all[0].Points[n-1].X != x {
			all[0].Points = append(all[0].Points, chart.Point{X: x, Y: max(f.Value, 0.01)})
		}
		name := strings.NewReplacer("SET NX PX and EVALSHA, every 10 ms", "SET NX, 10 ms apart", "XADD to as many in XREADGROUP", "XADD, XREADGROUP", ", every 10 ms", "").Replace(f.Peer.Name)
		i := slices.IndexFunc(all, func(l chart.Line) bool { return l.Name == name })
		if i < 0 {
			i = len(all)
			all = append(all, chart.Line{Name: name})
		}
		all[i].Points = append(all[i].Points, chart.Point{X: x, Y: max(f.Peer.Value, 0.01)})
	}
	return all
}
