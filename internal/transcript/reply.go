package transcript

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// reply reads one RESP2 reply and prints it as redis-cli does on a terminal.
// Lines behind the first are indented by indent.
func reply(r *bufio.Reader, indent string) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("not a reply: an empty line")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return "(error) " + rest, nil
	case ':':
		return "(integer) " + rest, nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil || kind != '$' && kind != '*' {
		return "", fmt.Errorf("not a reply of RESP2: %q", line)
	}
	switch {
	case n < 0:
		return "(nil)", nil
	case kind == '*':
		return array(r, n, indent)
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	return quote(text[:n]), nil
}

func array(r *bufio.Reader, n int, indent string) (string, error) {
	if n == 0 {
		return "(empty array)", nil
	}
	width := len(strconv.Itoa(n))
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString("\n" + indent)
		}
		fmt.Fprintf(&b, "%*d) ", width, i+1)
		text, err := reply(r, indent+strings.Repeat(" ", width+2))
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// quote writes a string so that Split reads it again.
func quote(s []byte) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case strings.IndexByte("\n\r\t\a\b", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte("nrtab"[strings.IndexByte("\n\r\t\a\b", c)])
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
