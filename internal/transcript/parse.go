package transcript

import (
	"regexp"
	"strings"
)

// Section is a heading and the steps of the console blocks below it.
type Section struct {
	Title string
	Steps []Step
}

// Step is one command and its reply.
type Step struct {
	Terminal string // "" is the first one
	Command  string // "" shows what a waiting command of the terminal answered
	Reply    string
	Line     int // of the Markdown, from 1
}

// waiting is the reply of a command that blocks.
const waiting = "(waiting)"

var prompt = regexp.MustCompile(`^([a-z0-9]*)>(?: (.*))?$`)

// Parse reads the console blocks of a Markdown text. Sections without any are
// left out.
func Parse(markdown string) []Section {
	var sections []Section
	title, fence := "", ""
	for i, line := range strings.Split(markdown, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			if fence != "" {
				fence = ""
			} else if fence = strings.TrimPrefix(line, "```"); fence == "" {
				fence = "text"
			}
		case fence == "" && strings.HasPrefix(line, "#"):
			title = strings.TrimSpace(strings.TrimLeft(line, "#"))
		case fence == "console":
			m := prompt.FindStringSubmatch(line)
			if m == nil {
				if n := len(sections); n > 0 {
					steps := sections[n-1].Steps
					steps[len(steps)-1].add(line)
				}
				continue
			}
			if n := len(sections); n == 0 || sections[n-1].Title != title {
				sections = append(sections, Section{Title: title})
			}
			s := &sections[len(sections)-1]
			s.Steps = append(s.Steps, Step{Terminal: m[1], Command: m[2], Line: i + 1})
		}
	}
	return sections
}

// add adds a line to the reply.
func (s *Step) add(line string) {
	if line = strings.TrimRight(line, " "); line == "" {
		return
	}
	if s.Reply != "" {
		s.Reply += "\n"
	}
	s.Reply += line
}
