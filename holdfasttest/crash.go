package holdfasttest

import "strings"

// crashed tells whether a server's log ends in a crash, or has a panic that was
// contained: both are defects.
func crashed(log string) bool {
	return strings.Contains(log, "REDIS BUG REPORT") || strings.Contains(log, "VALKEY BUG REPORT") ||
		strings.Contains(log, "<holdfast>") && strings.Contains(log, ": panic: ") || strings.Contains(log, "fatal error: ")
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
