// Package syntax reads the arguments of Holdfast's commands: durations,
// integers and trailing options, with the server's own words for what is wrong.
package syntax

import (
	"math"

	"holdfast/redismodule"
)

// Millis reads a duration in milliseconds that must be positive and must not
// overflow when added to now. command names the command in the error.
func Millis(a redismodule.Arg, command string, now int64) (int64, error) {
	n, ok := a.Int()
	if !ok {
		return 0, redismodule.ErrNotInteger
	}
	if n <= 0 || n > math.MaxInt64-now {
		return 0, badDuration(command)
	}
	return n, nil
}

// Block reads a BLOCK duration: as Millis, and 0 waits for ever.
func Block(a redismodule.Arg, command string, now int64) (int64, error) {
	if n, ok := a.Int(); ok && n == 0 {
		return 0, nil
	}
	return Millis(a, command, now)
}

// Delay reads a duration that may be 0: at once.
func Delay(a redismodule.Arg, command string, now int64) (int64, error) {
	return Block(a, command, now)
}

// Int reads an integer between min and max, both included.
func Int(a redismodule.Arg, min, max int64) (int64, error) {
	n, ok := a.Int()
	if !ok || n < min || n > max {
		return 0, redismodule.ErrNotInteger
	}
	return n, nil
}

func badDuration(command string) error {
	return redismodule.Error("ERR invalid expire time in '" + command + "' command")
}

// Options walks trailing options, in any order. Each step takes a word, and the
// option's values behind it:
//
//	o := syntax.NewOptions(args[4:])
//	for o.Next() {
//		switch {
//		case o.Is("BLOCK"):
//			block, err = …(o.Value())
//		default:
//			o.Unknown()
//		}
//	}
//	if err := o.Err(); err != nil …
type Options struct {
	rest []redismodule.Arg
	word redismodule.Arg
	bad  bool
}

// NewOptions begins a walk.
func NewOptions(args []redismodule.Arg) Options { return Options{rest: args} }

// Next goes to the next option.
func (o *Options) Next() bool {
	if o.bad || len(o.rest) == 0 {
		return false
	}
	o.word, o.rest = o.rest[0], o.rest[1:]
	return true
}

// Is reports whether the option is the given word, which is in upper case.
func (o *Options) Is(word string) bool { return o.word.Is(word) }

// Value is the option's next value. Without one the walk ends with an error,
// and what is answered is the option's own word, to be thrown away.
func (o *Options) Value() redismodule.Arg {
	if len(o.rest) == 0 {
		o.bad = true
		return o.word
	}
	v := o.rest[0]
	o.rest = o.rest[1:]
	return v
}

// Values are the option's next n values, or nil, which ends the walk with an
// error.
func (o *Options) Values(n int64) []redismodule.Arg {
	if n < 0 || n > int64(len(o.rest)) {
		o.bad = true
		return nil
	}
	v := o.rest[:n]
	o.rest = o.rest[n:]
	return v
}

// Rest is all that is left, and ends the walk.
func (o *Options) Rest() []redismodule.Arg {
	v := o.rest
	o.rest = nil
	return v
}

// Unknown ends the walk: the option is none, or stands with one that it
// excludes.
func (o *Options) Unknown() { o.bad = true }

// Err is the syntax error that ended the walk, or nil.
func (o *Options) Err() error {
	if o.bad {
		return redismodule.ErrSyntax
	}
	return nil
}
