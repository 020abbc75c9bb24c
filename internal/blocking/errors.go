package blocking

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Refused tells whether an error is the server's answer: then the command was
// not carried out. After other errors nobody knows.
func Refused(err error) bool {
	var e redis.Error
	return errors.As(err, &e)
}

// Unsent tells whether an error says that the command cannot have reached a
// server: there was no connection.
func Unsent(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "dial" || errors.Is(err, errConnect)
}

// errUnsupported is the error of a client that says nothing of its servers.
var errUnsupported = errors.New("a client that gives no connection to wait on")

// passing are the first words of the errors of Redis 7 and 8 and Valkey 8 and 9 that
// end without anybody changing the command, the key or the user.
var passing = []string{
	"ASK ",                      // the slot is moving
	"BUSY ",                     // a script runs for too long
	"CLUSTERDOWN",               // slots are not served, or a failover is under way
	"ERR max number of clients", // also "… + cluster connections"
	"LOADING",                   // the server reads its data
	"MASTERDOWN",                // a replica without its primary
	"MISCONF",                   // the last snapshot or append failed: a full disk
	"MOVED ",                    // the slot is elsewhere
	"NOGROUP",                   // a group was destroyed: the next TASK.CONSUME makes it again
	"NOREPLICAS",                // min-replicas-to-write is not met
	"OOM ",                      // maxmemory is reached
	"READONLY",                  // a primary has become a replica
	"REDIRECT ",                 // Valkey 8: ask the new primary
	"TRYAGAIN",                  // the keys of a command are on both sides of a move
	"UNBLOCKED",                 // a wait was ended: the server became a replica, say
}

// Passes tells whether a command may succeed if it is sent again a little later: the
// connection broke, the server starts, another is being promoted, a slot has moved, a
// disk or the memory is full.
func Passes(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, redis.ErrClosed), errors.Is(err, errUnsupported):
		return false
	case !Refused(err):
		return true
	}
	for _, word := range passing {
		if redis.HasErrorPrefix(err, word) || strings.HasPrefix(err.Error(), word) {
			return true
		}
	}
	return false
}
