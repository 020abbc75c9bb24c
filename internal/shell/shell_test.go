package shell

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

func TestANameThatBeginsWithADashIsNoFlag(t *testing.T) {
	for want, got := range map[string]string{
		"holdfast queue peek mail --dead --group='a b'":     Command("queue peek", []string{"--dead", "--group=a b"}, "mail"),
		"holdfast queue peek --dead -- '-x y'":              Command("queue peek", []string{"--dead"}, "-x y"),
		"holdfast queue find -- '-x y'\\''z' 1-1":           Command("queue find", nil, "-x y'z", "1-1"),
		"holdfast queue forget --group='-g' -- mail '-web'": Command("queue forget", []string{"--group=-g"}, "mail", "-web"),
		"": Command("lock info", nil, "a\xff") + Command("lock info", nil, "a\x00b") + Command("lock info", []string{"--owner=a\rb"}, "a"),
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}
