package holdfasttest

import "strings"

// crashed tells whether a server's log ends in a crash.
func crashed(log string) bool {
	return strings.Contains(log, "REDIS BUG REPORT") || strings.Contains(log, "VALKEY BUG REPORT") || strings.Contains(log, "fatal error: ")
}

// panicked tells whether a module contained a panic: as much a defect.
func panicked(log string) bool {
	return strings.Contains(log, ": panic: ")
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
