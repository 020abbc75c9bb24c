package cache

import "holdfast/internal/codec"

// Codec turns values into bytes and back. v of Unmarshal is a pointer to a value of
// the cache's type. Several goroutines use it at once.
type Codec = codec.Codec

var (
	// JSON is the codec of package encoding/json.
	JSON = codec.JSON

	// Bytes is the codec for caches of []byte or string: the values as they are.
	Bytes = codec.Bytes
)

// decodesEmpty reports whether the empty string is a value of the codec. Redis answers
// "no old value" as nil, which go-redis's fastest reader turns into an empty string, so
// the cache must know whether the two can be confused.
func decodesEmpty[T any](c Codec) bool {
	var v T
	return codec.Decode(c, "", &v) == nil
}
