package queue

import (
	"context"
	"maps"
	"slices"
)

// Headers are what a task carries beside its payload. With its methods it is a
// TextMapCarrier of OpenTelemetry.
type Headers map[string]string

// Get returns a header, or "".
func (h Headers) Get(name string) string { return h[name] }

// Set sets a header.
func (h Headers) Set(name, value string) { h[name] = value }

// Keys returns the names of the headers, sorted.
func (h Headers) Keys() []string { return slices.Sorted(maps.Keys(h)) }

// append adds the headers to a command.
func (h Headers) append(args []any) []any {
	if len(h) == 0 {
		return args
	}
	args = append(args, "HEADERS", len(h))
	for name, value := range h {
		args = append(args, name, value)
	}
	return args
}

// traceparent is the header of W3C's Trace Context.
const traceparent = "traceparent"

type traceKey struct{}

// WithTraceparent returns a context whose tasks are published with this header
// traceparent. A handler's context has that of its task already.
func WithTraceparent(ctx context.Context, value string) context.Context {
	return context.WithValue(ctx, traceKey{}, value)
}

// Traceparent returns what WithTraceparent was given, or the header of the handler's
// task, or "".
func Traceparent(ctx context.Context) string {
	value, _ := ctx.Value(traceKey{}).(string)
	return value
}

func inject(ctx context.Context, h Headers) {
	if value := Traceparent(ctx); value != "" {
		h.Set(traceparent, value)
	}
}

func extract(ctx context.Context, h Headers) context.Context {
	if value := h.Get(traceparent); value != "" {
		return WithTraceparent(ctx, value)
	}
	return ctx
}
