package cache

import "holdfast/internal/codec"

// Codec turns values into bytes and back. Several goroutines use it at once.
type Codec interface {
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes into v, a pointer to a value of the cache's type.
	Unmarshal(data []byte, v any) error
}

var (
	// JSON is the codec of package encoding/json.
	JSON Codec = codec.JSON

	// Bytes is the codec of caches of []byte or string: it leaves values as they are.
	Bytes Codec = codec.Bytes
)

// decodesEmpty reports whether the empty string is a value of the codec. Redis answers
// "no old value" as nil, which go-redis's fastest reader turns into an empty string, so
// the cache must know whether the two can be confused.
func decodesEmpty[T any](c Codec) bool {
	var v T
	return codec.Decode(c, "", &v) == nil
}
