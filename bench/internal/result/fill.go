package result

import "strings"

// Fill puts parts into a page: each between the lines <!-- bench: name --> and
// <!-- /bench -->, in place of what is there. A mark without a part keeps what it
// has, and a page without the mark goes without the part.
func Fill(page string, parts map[string]string) string {
	const begin, end = "<!-- bench: ", "<!-- /bench -->"
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(page, begin)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, body, _ := strings.Cut(rest, " -->\n")
		old, after, closed := strings.Cut(body, end)
		if !closed {
			out.WriteString(begin + rest)
			return out.String()
		}
		if part, has := parts[name]; has {
			old = "\n" + part + "\n"
		}
		out.WriteString(begin + name + " -->\n" + old + end)
		page = after
	}
}
