package e2e

import (
	"fmt"
	"testing"

	"holdfast/holdfasttest"
)

// The modules write on behalf of the client whose command they carry out. A client
// that tracks without loop is not told of its own writes, and every other one is.
func TestTrackingWithoutLoopIsSilentAboutOnesOwnWrites(t *testing.T) {
	s := holdfasttest.Server(t)
	writer, other := dialCache(t, s.Addr), dialCache(t, s.Addr)
	for _, c := range []*cacheConn{writer, other} {
		c.do("HELLO 3")
		c.wants("OK", "CLIENT TRACKING ON NOLOOP")
	}
	for i, command := range []struct{ read, write string }{
		{"CACHE.GET %", "CACHE.SET % v 60000"},
		{"CACHE.GET %", "CACHE.SETNIL % 60000"},
		{"LOCK.INFO %", "LOCK.ACQUIRE % me 60000"},
		{"XLEN %", "TASK.PUBLISH % payload"},
		{"TASK.STATS %", "TASK.PUBLISH % payload"},
	} {
		key := fmt.Sprint("k", i)
		writer.do(command.read, key)
		other.do(command.read, key)
		writer.do(command.write, key)
		other.hears(`>["invalidate" ["` + key + `"]]`)
		writer.wants(`"and nothing else"`, "ECHO %", "and nothing else")
	}
}
