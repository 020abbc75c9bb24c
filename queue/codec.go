package queue

import "holdfast/internal/codec"

// Codec turns payloads into bytes and back. v of Unmarshal is a pointer to a payload
// of the queue's type. It is used by several goroutines at once.
type Codec = codec.Codec

var (
	// JSON is the codec of package encoding/json.
	JSON = codec.JSON

	// Bytes is the codec of queues of []byte or string: the payloads as they are.
	Bytes = codec.Bytes
)
