package holdfasttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"holdfast/internal/redisserver"
)

// hint adds to what kept a server from starting what mends it.
func hint(err error) error {
	switch {
	case errors.Is(err, redisserver.ErrNoModules):
		return fmt.Errorf("holdfasttest: %w\nTry: make build (in Holdfast's source), or HOLDFAST_MODULES=DIR go test …, where DIR is the folder they are in", err)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("holdfasttest: %w\nTry: apt-get install redis-server, or HOLDFAST_SERVER=/path/to/valkey-server go test …", err)
	}
	return fmt.Errorf("holdfasttest: %w", err)
}
