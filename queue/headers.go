package queue

import "context"

// Headers are what a task carries beside its payload. With their methods they are
// a TextMapCarrier of OpenTelemetry.
type Headers map[string]string

// Get returns a header, or "".
func (h Headers) Get(name string) string { return h[name] }

// Set sets a header.
func (h Headers) Set(name, value string) { h[name] = value }

// Keys are the names of the headers, in no order.
func (h Headers) Keys() []string {
	all := make([]string, 0, len(h))
	for name := range h {
		all = append(all, name)
	}
	return all
}

// traceparent is the header of W3C's Trace Context.
const traceparent = "traceparent"

type traceKey struct{}

// WithTraceparent returns a context whose tasks are published with this header
// traceparent. A handler's context has that of its task already.
func WithTraceparent(ctx context.Context, value string) context.Context {
	return context.WithValue(ctx, traceKey{}, value)
}

// Traceparent is what WithTraceparent was given, or the header of the handler's
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
