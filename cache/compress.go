package cache

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"
)

// Compress returns a codec that compresses what inner makes of a value, with gzip, if
// that is at least min bytes long and becomes shorter. It also reads what is not
// compressed, so it can be given to caches whose values are in Redis already; but
// processes that read with inner alone cannot read what it writes, and load such values
// again: deploy it to all processes with a very great min first, then lower min.
// Compressed values are not readable by GET.
func Compress(inner Codec, min int) Codec { return &compressor{inner: inner, min: min} }

type compressor struct {
	inner   Codec
	min     int
	writers sync.Pool
}

// magic is how gzip's output begins. Other values that begin so are compressed too,
// whatever their length, so that reading can tell.
const magic = "\x1f\x8b"

func (c *compressor) Marshal(v any) ([]byte, error) {
	data, err := c.inner.Marshal(v)
	mistakable := bytes.HasPrefix(data, []byte(magic))
	if err != nil || len(data) < c.min && !mistakable {
		return data, err
	}
	var b bytes.Buffer
	w, ok := c.writers.Get().(*gzip.Writer)
	if !ok {
		w, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed)
	}
	defer c.writers.Put(w)
	w.Reset(&b)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if b.Len() >= len(data) && !mistakable {
		return data, nil
	}
	return b.Bytes(), nil
}

func (c *compressor) Unmarshal(data []byte, v any) error {
	if bytes.HasPrefix(data, []byte(magic)) {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return err
		}
		if data, err = io.ReadAll(r); err != nil {
			return err
		}
	}
	return c.inner.Unmarshal(data, v)
}
