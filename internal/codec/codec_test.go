package codec_test

import (
	"strings"
	"testing"

	"holdfast/internal/codec"
)

type wild struct{}

func (wild) MarshalJSON() ([]byte, error) { panic("wild") }
func (*wild) UnmarshalJSON([]byte) error  { panic("wild") }

func TestACodecThatPanicsFails(t *testing.T) {
	if _, err := codec.Encode(codec.JSON, wild{}); err == nil || !strings.Contains(err.Error(), "panicked: wild") {
		t.Error(err)
	}
	if err := codec.Decode(codec.JSON, "{}", &wild{}); err == nil || !strings.Contains(err.Error(), "panicked: wild") {
		t.Error(err)
	}
}

func TestBytesAreTextsAndBytesAsTheyAre(t *testing.T) {
	for _, data := range []string{"", "\x00\r\n\xff", "text"} {
		var text string
		var bytes []byte
		if err := codec.Decode(codec.Bytes, data, &text); err != nil || text != data {
			t.Errorf("%q, %v", text, err)
		}
		if err := codec.Decode(codec.Bytes, data, &bytes); err != nil || string(bytes) != data {
			t.Errorf("%q, %v", bytes, err)
		}
	}
	var n int
	if err := codec.Decode(codec.Bytes, "1", &n); err == nil {
		t.Error("a number is neither text nor bytes")
	}
}
