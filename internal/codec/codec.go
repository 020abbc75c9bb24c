// Package codec turns the values of the Go clients into bytes and back.
package codec

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// Codec turns values into bytes and back. v of Unmarshal is a pointer to a value of
// the type in question. It is used by several goroutines at once.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

var (
	// JSON is the codec of package encoding/json.
	JSON Codec = jsonCodec{}

	// Bytes is the codec of []byte and string: the values as they are.
	Bytes Codec = bytesCodec{}
)

// Encode turns a value into bytes. A panic of the codec is an error, [Panicked]: the
// caller may be on a goroutine where nobody could recover it.
func Encode(c Codec, v any) (data []byte, err error) {
	defer recovered(&err)
	return c.Marshal(v)
}

// Decode turns data into the value that v points to. Bytes into a string needs no copy.
// A panic of the codec is an error, [Panicked].
func Decode(c Codec, data string, v any) (err error) {
	if text, ok := v.(*string); ok && c == Bytes {
		*text = data
		return nil
	}
	defer recovered(&err)
	return c.Unmarshal([]byte(data), v)
}

// Panicked is the error of a codec that panicked. Its text has the panic's value and
// stack, which may hold secrets: do not send it to other processes.
type Panicked struct{ text string }

func (p Panicked) Error() string { return p.text }

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = Panicked{fmt.Sprintf("the codec panicked: %v\n%s", p, debug.Stack())}
	}
}

type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("codec Bytes: a %T is neither []byte nor string", v)
}

func (bytesCodec) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = data
	case *string:
		*v = string(data)
	default:
		return fmt.Errorf("codec Bytes: a %T points to neither []byte nor string", v)
	}
	return nil
}
