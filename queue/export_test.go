package queue

import (
	"testing"
	"time"
)

// SetGoneAfter has workers look for consumers that are gone often, and take them for gone
// early, for the length of a test.
func SetGoneAfter(t *testing.T, gone, every time.Duration) {
	g, e := goneAfter, tidyEvery
	goneAfter, tidyEvery = gone, every
	t.Cleanup(func() { goneAfter, tidyEvery = g, e })
}
