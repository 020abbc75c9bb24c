package blocking

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"time"
)

// appendCommand appends a command in the form in which the server reads it.
func appendCommand(b []byte, args []any) []byte {
	b = appendLength(b, '*', len(args))
	for _, a := range args {
		switch a := a.(type) {
		case string:
			b = appendCommandText(b, a)
		case []byte:
			b = appendCommandText(b, a)
		case int:
			b = appendInt(b, int64(a))
		case int64:
			b = appendInt(b, a)
		default:
			b = appendCommandText(b, fmt.Sprint(a))
		}
	}
	return b
}

func appendLength(b []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(b, kind), int64(n), 10), '\r', '\n')
}

func appendInt(b []byte, n int64) []byte {
	var digits [20]byte
	return appendCommandText(b, strconv.AppendInt(digits[:0], n, 10))
}

func appendCommandText[T string | []byte](b []byte, s T) []byte {
	return append(append(appendLength(b, '$', len(s)), s...), '\r', '\n')
}

// ServerError is an error that the server answered.
type ServerError string

func (e ServerError) Error() string { return string(e) }

// RedisError makes it an error of go-redis's kind.
func (e ServerError) RedisError() {}

// errReply says that what the server sent is no reply.
var errReply = errors.New("the server answered what is no reply")

// readValue reads one reply or push: nil, an int64, a string, a bool, a float64, a
// *big.Int, a ServerError, a []any or a map[any]any of these, as go-redis returns
// them. An error that the server answered is a value here.
func readValue(r *bufio.Reader) (any, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("%w: %q", errReply, line)
	}
	kind, text := line[0], bytes.TrimSuffix(line[1:len(line)-1], []byte{'\r'})
	switch kind {
	case '+':
		return string(text), nil
	case '-':
		return ServerError(text), nil
	case '_':
		return nil, nil
	case '#':
		return string(text) == "t", nil
	case ',':
		return strconv.ParseFloat(string(text), 64)
	case '(':
		n, ok := new(big.Int).SetString(string(text), 10)
		if !ok {
			return nil, fmt.Errorf("%w: %q", errReply, line)
		}
		return n, nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", errReply, line)
	}
	switch kind {
	case ':':
		return n, nil
	case '$', '=', '!':
		return readBulk(r, kind, n)
	case '*', '~', '>':
		return readValues(r, n)
	case '%':
		pairs, err := readValues(r, 2*min(n, longestReply))
		all, _ := pairs.([]any)
		m := make(map[any]any, len(all)/2)
		for i := 0; i+1 < len(all); i += 2 {
			switch all[i].(type) {
			case []any, map[any]any:
				return nil, fmt.Errorf("%w: a map whose key is no text", errReply)
			}
			m[all[i]] = all[i+1]
		}
		return m, err
	}
	return nil, fmt.Errorf("%w: %q", errReply, line)
}

// commonTexts are texts that stand in each task's entry or dead letter: they are made once, not
// with each reply.
var commonTexts = common("0", "payload", "timestamp", "retry_count", "task_id", "error", "history",
	"reason", "origin_stream", "origin_group", "origin_consumer", "origin_id", "deliveries", "failed_at")

func common(texts ...string) map[string]any {
	m := make(map[string]any, len(texts))
	for _, t := range texts {
		m[t] = t
	}
	return m
}

// longestReply bounds the bytes of a text and the values of an array. A server that
// announces more is no server.
const longestReply = 1 << 32

// readBulk reads a text of n bytes.
func readBulk(r *bufio.Reader, kind byte, n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	if n > longestReply {
		return nil, fmt.Errorf("%w: a text of %d bytes", errReply, n)
	}
	var text string
	if b, err := r.Peek(int(n) + 2); err == nil { // it fits the buffer
		common, is := commonTexts[string(b[:n])]
		if !is {
			text = string(b[:n])
		}
		if _, _ = r.Discard(len(b)); is && kind == '$' {
			return common, nil
		}
		if is {
			text = common.(string)
		}
	} else {
		var b bytes.Buffer // grows with what comes, whatever was announced
		if _, err := io.CopyN(&b, r, n+2); err != nil {
			return nil, err
		}
		text = string(b.Bytes()[:n])
	}
	switch kind {
	case '!':
		return ServerError(text), nil
	case '=': // "txt:" before the text
		if len(text) >= 4 {
			text = text[4:]
		}
	}
	return text, nil
}

func readValues(r *bufio.Reader, n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	if n > longestReply {
		return nil, fmt.Errorf("%w: an array of %d", errReply, n)
	}
	all := make([]any, 0, min(n, 1024))
	for range n {
		v, err := readValue(r)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Millis is d as the commands take durations: in whole milliseconds, rounded up, and
// one at least.
func Millis(d time.Duration) int64 {
	return max(int64((d+time.Millisecond-1)/time.Millisecond), 1)
}
