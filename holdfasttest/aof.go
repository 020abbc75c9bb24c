package holdfasttest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// mendAOF cuts off the transaction in whose middle the append-only file of a killed server
// ends, as redis-check-aof --fix does. Servers before Valkey 9 load such a file and append to
// it behind the MULTI, and lose what they appended at their next start.
func mendAOF(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return err
	}
	last, greatest := "", -1
	for _, file := range files {
		var seq int
		if _, err := fmt.Sscanf(filepath.Base(file), "appendonly.aof.%d.incr.aof", &seq); err == nil && seq > greatest {
			last, greatest = file, seq
		}
	}
	if last == "" {
		return nil
	}
	text, err := os.ReadFile(last)
	if err != nil {
		return err
	}
	if keep := wholeTransactions(text); keep < len(text) {
		return os.Truncate(last, int64(keep))
	}
	return nil
}

// wholeTransactions is the length of the commands that are whole, without a transaction that
// has no end.
func wholeTransactions(text []byte) int {
	at, multi := 0, -1
	for {
		name, n := firstCommand(text[at:])
		switch {
		case n == 0 && multi >= 0:
			return multi
		case n == 0:
			return at
		case bytes.EqualFold(name, []byte("MULTI")):
			multi = at
		case bytes.EqualFold(name, []byte("EXEC")):
			multi = -1
		}
		at += n
	}
}

// firstCommand is the name and the length of the command, or comment, that a text begins with;
// 0 if it is not whole.
func firstCommand(text []byte) (name []byte, length int) {
	line := func(kind byte) (int, bool) {
		end := bytes.IndexByte(text[length:], '\n')
		if end < 0 || text[length] != kind {
			return 0, false
		}
		n, err := strconv.Atoi(string(bytes.TrimSpace(text[length+1 : length+end])))
		length += end + 1
		return n, err == nil || kind == '#'
	}
	if len(text) > 0 && text[0] == '#' {
		if _, ok := line('#'); !ok {
			return nil, 0
		}
		return nil, length
	}
	words, ok := line('*')
	for i := 0; ok && i < words; i++ {
		var n int
		if n, ok = line('$'); !ok || len(text) < length+n+2 {
			return nil, 0
		}
		if i == 0 {
			name = text[length : length+n]
		}
		length += n + 2
	}
	if !ok {
		return nil, 0
	}
	return name, length
}
