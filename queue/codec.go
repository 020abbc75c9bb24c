package queue

import "holdfast/internal/codec"

// Codec turns payloads into bytes and back. Several goroutines use it at once.
type Codec interface {
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes into v, a pointer to a payload of the queue's type.
	Unmarshal(data []byte, v any) error
}

var (
	// JSON is the codec of package encoding/json.
	JSON Codec = codec.JSON

	// Bytes is the codec of queues of []byte or string: it leaves payloads as they are.
	Bytes Codec = codec.Bytes
)
