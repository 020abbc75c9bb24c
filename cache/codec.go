package cache

import "holdfast/internal/codec"

// Codec turns values into bytes and back. v of Unmarshal is a pointer to a value of
// the cache's type. It is used by several goroutines at once.
type Codec = codec.Codec

var (
	// JSON is the codec of package encoding/json.
	JSON = codec.JSON

	// Bytes is the codec of caches of []byte or string: the values as they are.
	Bytes = codec.Bytes
)
