package main

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/redismodule"
)

// page is a module's page of the reference.
func page(m *redismodule.Module) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", m.Name)
	if m.Summary != "" {
		fmt.Fprintf(&b, "%s\n\n", m.Summary)
	}
	b.WriteString("Durations are in milliseconds. `make generate` writes this page from the module; what all of it promises is in [guarantees](../guarantees.md).\n")
	for i := range m.Commands {
		command(&b, &m.Commands[i])
	}
	if len(m.Configs) > 0 {
		settings(&b, m)
	}
	return []byte(b.String())
}

func command(b *strings.Builder, c *redismodule.Command) {
	fmt.Fprintf(b, "\n## %s\n\n```\n%s\n```\n\n%s\n", strings.ToUpper(c.Name), usage(c), c.Summary)
	if c.Reply != "" {
		fmt.Fprintf(b, "\nReply: %s\n", c.Reply)
	}
	notes := argumentNotes(c.Args, nil)
	if len(notes) > 0 {
		b.WriteString("\n| argument | meaning |\n|---|---|\n")
		for _, n := range notes {
			fmt.Fprintf(b, "| `%s` | %s |\n", n[0], strings.ReplaceAll(n[1], "|", `\|`))
		}
	}
	fmt.Fprintf(b, "\nComplexity: %s. Since %s. Flags: %s.", strings.TrimSuffix(c.Complexity, "."), c.Since, c.Flags)
	if c.Categories != "" {
		fmt.Fprintf(b, " ACL categories: %s.", categories(c.Categories))
	}
	b.WriteString("\n")
}

func categories(words string) string { return "@" + strings.Join(strings.Fields(words), ", @") }

// argumentNotes are the arguments that say something of themselves.
func argumentNotes(args []redismodule.Argument, notes [][2]string) [][2]string {
	for _, a := range args {
		if a.Summary != "" {
			name := a.Name
			if token := tokenOf(a); token != "" {
				name = token
			}
			notes = append(notes, [2]string{name, a.Summary})
		}
		notes = argumentNotes(a.Args, notes)
	}
	return notes
}

func settings(b *strings.Builder, m *redismodule.Module) {
	b.WriteString("\n# Settings\n\nBy `CONFIG SET`, as a line of redis.conf, or without the module's name behind `loadmodule`.\n\n")
	b.WriteString("| setting | default | meaning |\n|---|---|---|\n")
	for _, c := range m.Configs {
		value := strconv.FormatInt(c.Default, 10)
		switch {
		case c.Text != nil:
			value = "none"
		case c.Bool != nil:
			value = map[bool]string{true: "yes", false: "no"}[c.Default != 0]
		}
		fmt.Fprintf(b, "| `%s.%s` | %s | %s |\n", m.Name, c.Name, value, c.Summary)
	}
}

// usage is the command's syntax in one line, as the server's own help writes it.
func usage(c *redismodule.Command) string {
	return strings.TrimSpace(strings.ToUpper(c.Name) + " " + syntax(c.Args, " "))
}

func syntax(args []redismodule.Argument, separator string) string {
	var parts []string
	for _, a := range args {
		parts = append(parts, argument(a))
	}
	return strings.Join(parts, separator)
}

func argument(a redismodule.Argument) string {
	text := a.Name
	switch a.Type {
	case redismodule.ArgToken:
		text = ""
	case redismodule.ArgOneOf:
		text = syntax(a.Args, " | ")
	case redismodule.ArgBlock:
		text = syntax(a.Args, " ")
	}
	text = strings.TrimSpace(tokenOf(a) + " " + text)
	if a.Type == redismodule.ArgOneOf && !a.Optional && len(a.Args) > 1 {
		text = "<" + text + ">"
	}
	if a.Multiple {
		text += " [" + text + " …]"
	}
	if a.Optional {
		text = "[" + text + "]"
	}
	return text
}

// tokenOf is the literal word of an argument.
func tokenOf(a redismodule.Argument) string {
	if a.Token == "" && a.Type == redismodule.ArgToken {
		return strings.ToUpper(a.Name)
	}
	return a.Token
}
