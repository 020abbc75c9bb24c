package doctor

import (
	"os/exec"
	"testing"
)

func TestAQuotedWordIsOneWordForAShell(t *testing.T) {
	for _, word := range []string{"mail", "a b", "", "it's", "$HOME", "`id`", "a\nb", "-x", "*", `\`, `"`, "é", "~root", "{a,b}"} {
		out, err := exec.Command("sh", "-c", "printf '%s|' "+Quote(word)).Output()
		if err != nil || string(out) != word+"|" {
			t.Errorf("%s is read as %q, %v", Quote(word), out, err)
		}
	}
}
