package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"context"
	"log/slog"
	"strings"
	"unsafe"
)

// Log writes to the server's log. Use it inside callbacks only.
var Log = slog.New(handler{})

// handler is a slog.Handler over the server's log, which has four levels and
// puts time, level and the module's name before each line itself.
type handler struct {
	attrs string
	group string
}

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.write(&b, a)
		return true
	})
	level := "notice"
	switch {
	case r.Level < slog.LevelInfo:
		level = "debug"
	case r.Level >= slog.LevelWarn:
		level = "warning"
	}
	logLine(level, b.String())
	return nil
}

func (h handler) write(b *strings.Builder, a slog.Attr) {
	b.WriteByte(' ')
	b.WriteString(h.group)
	b.WriteString(a.String())
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		h.write(&b, a)
	}
	h.attrs = b.String()
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.group += name + "."
	}
	return h
}

// longest is what fits into a line of the server's log, which cuts off the rest.
const longest = 900

// logLine logs in the name of the module whose callback runs. A stack takes
// several lines.
func logLine(level, text string) {
	var c *C.RedisModuleCtx
	if depth > 0 {
		c = stack[depth-1].c
	}
	withC(level, func(l *C.char) {
		for more := true; more; {
			line := text
			if more = len(line) > longest; more {
				line = line[:longest]
				if end := strings.LastIndexByte(line, '\n'); end > 0 {
					line = line[:end]
				}
			}
			text = strings.TrimPrefix(text[len(line):], "\n")
			C.hf_log(c, l, (*C.char)(unsafe.Pointer(unsafe.StringData(line))), C.size_t(len(line)))
		}
	})
}
