package transcript

import (
	"errors"
	"strconv"
	"strings"
)

// Split cuts a command line into arguments as redis-cli does: at blanks, save
// inside 'single quotes', where only \' is special, and inside "double quotes",
// where \n, \r, \t, \a, \b, \xhh and \ before any other byte are.
func Split(line string) ([]string, error) {
	var args []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return args, nil
		}
		arg, rest, err := word(line)
		if err != nil {
			return nil, err
		}
		args, line = append(args, arg), rest
	}
}

var errQuotes = errors.New("unbalanced quotes")

// word reads the argument that line begins with.
func word(line string) (arg, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), line[i:], nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			if i+1 < len(line) && line[i+1] != ' ' && line[i+1] != '\t' {
				return "", "", errQuotes
			}
			quote = 0
		case quote == '\'' && strings.HasPrefix(line[i:], `\'`):
			i++
			b.WriteByte('\'')
		case quote == '"' && c == '\\' && i+1 < len(line):
			i++
			if hex, err := strconv.ParseUint(line[min(i+1, len(line)):min(i+3, len(line))], 16, 8); line[i] == 'x' && err == nil {
				b.WriteByte(byte(hex))
				i += 2
				continue
			}
			b.WriteByte(unescape(line[i]))
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", errQuotes
	}
	return b.String(), "", nil
}

func unescape(c byte) byte {
	if i := strings.IndexByte("nrtab", c); i >= 0 {
		return "\n\r\t\a\b"[i]
	}
	return c
}
