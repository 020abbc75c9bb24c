// Package slot says which keys share a slot of a cluster.
package slot

import "bytes"

// Tag is the part of a key's name that chooses its slot: what stands between the
// first '{' and the next '}', unless that is nothing. ok is false when the whole
// name does.
func Tag(name []byte) (tag []byte, ok bool) {
	open := bytes.IndexByte(name, '{')
	if open < 0 {
		return nil, false
	}
	n := bytes.IndexByte(name[open+1:], '}')
	if n <= 0 {
		return nil, false
	}
	return name[open+1 : open+1+n], true
}

// Same reports whether two keys are in the same slot.
func Same(a, b []byte) bool { return Of(a) == Of(b) }

// Count is how many slots a cluster has.
const Count = 16384

// Of is the slot of a key: the CRC-16 (XMODEM) of the tag, or of the whole name, mod Count.
func Of(name []byte) int {
	if t, ok := Tag(name); ok {
		name = t
	}
	var crc uint16
	for _, c := range name {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % Count)
}
