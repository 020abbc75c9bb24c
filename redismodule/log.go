package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"strings"
)

// Level is a level of the server's log.
type Level string

// The levels of the server's log, from the least to the most important.
const (
	LevelDebug   Level = "debug"
	LevelVerbose Level = "verbose"
	LevelNotice  Level = "notice"
	LevelWarning Level = "warning"
)

// longest is what fits into a line of the server's log, which cuts off the rest.
const longest = 900

// Log writes to the server's log, in the name of the module whose callback runs. A long text,
// such as a stack, takes several lines. Use it inside callbacks only.
func Log(level Level, text string) {
	var c *C.RedisModuleCtx
	if depth > 0 {
		c = stack[depth-1].c
	}
	withC(string(level), func(l *C.char) {
		for more := true; more; {
			line := text
			if more = len(line) > longest; more {
				line = line[:longest]
				if end := strings.LastIndexByte(line, '\n'); end > 0 {
					line = line[:end]
				}
			}
			text = strings.TrimPrefix(text[len(line):], "\n")
			C.hf_log(c, l, charsOf(line), C.size_t(len(line)))
		}
	})
}
