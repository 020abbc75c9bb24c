package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The exit codes of every verb.
const (
	ExitDone        = 0
	ExitFailed      = 1   // something went wrong
	ExitUsage       = 2   // wrong arguments or flags
	ExitNotMet      = 3   // the condition was not met: not acquired, nothing there
	ExitNoAccess    = 4   // refused: password, rights
	ExitInterrupted = 130 // ended by the user
)

// ExitCodes tells of them, for help pages.
const ExitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the condition was not met (not
acquired, nothing there), 4 no access, 130 interrupted.`

// problem is an error with what mends it and the exit code that it means.
type problem struct {
	err  error
	hint string
	code int
}

func (p problem) Error() string { return p.err.Error() }
func (p problem) Unwrap() error { return p.err }

// Try adds to an error what mends it: a command, or a sentence without a capital and a full stop.
func Try(err error, hint string) error { return problem{err, hint, code(err)} }

// Usage is an error of arguments or flags.
func Usage(format string, args ...any) error {
	return problem{fmt.Errorf(format, args...), "", ExitUsage}
}

// NotMet is no fault: what was asked for is not so.
func NotMet(hint, format string, args ...any) error {
	return problem{fmt.Errorf(format, args...), hint, ExitNotMet}
}

// Exit is an exit code without a message, for a verb that passes another program's on.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Describe tells the message, the hint ("" for none of its own) and the exit code of an error.
func Describe(err error) (message, hint string, exit int) {
	if e, ok := errors.AsType[Exit](err); ok {
		return "", "", int(e)
	}
	message, exit = err.Error(), code(err)
	if p, ok := errors.AsType[problem](err); ok && p.hint != "" {
		return message, p.hint, exit
	}
	return message, hintFor(err, message), exit
}

func code(err error) int {
	if p, ok := errors.AsType[problem](err); ok {
		return p.code
	}
	switch text := err.Error(); {
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case hasWord(text, "NOAUTH", "WRONGPASS", "NOPERM"):
		return ExitNoAccess
	case strings.HasPrefix(text, "unknown command ") || strings.HasPrefix(text, "unknown flag") || strings.HasPrefix(text, "unknown shorthand") ||
		strings.Contains(text, "arg(s)") || strings.Contains(text, "invalid argument") || strings.Contains(text, "flag needs an argument") || strings.HasPrefix(text, "required flag"):
		return ExitUsage
	}
	return ExitFailed
}

// hintFor tells what to do about what servers and networks say.
func hintFor(err error, text string) string {
	var network net.Error
	switch {
	case hasWord(text, "NOAUTH"):
		return "REDISCLI_AUTH=password holdfast …, or a URL with user and password"
	case hasWord(text, "WRONGPASS"):
		return "another user or password: redis://user:password@host:6379"
	case hasWord(text, "NOPERM"):
		return "a user with the rights: ACL SETUSER … (docs/operating.md, Access control)"
	case strings.Contains(text, "unknown command '") && strings.Contains(text, "."):
		return "holdfast doctor: the server seems to lack the modules, or has older ones"
	case strings.Contains(text, "certificate"):
		return "--cacert FILE, the authority that signed the server's certificate"
	case errors.As(err, &network), errors.Is(err, redis.ErrPoolTimeout):
		return "--url redis://host:port, if the server is not on 127.0.0.1:6379"
	}
	return ""
}

func hasWord(text string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(text, w+" ") {
			return true
		}
	}
	return false
}
