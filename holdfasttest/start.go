package holdfasttest

import (
	"context"
	"os"

	"holdfast/internal/redisserver"
)

// Start starts a server with the three modules for what is not a test: examples
// and TestMain. It is $HOLDFAST_SERVER or redis-server, on a free port, and goes
// with stop, or with this process.
func Start() (addr string, stop func(), err error) {
	modules, err := redisserver.Modules()
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{Modules: modules, Binary: os.Getenv("HOLDFAST_SERVER")})
	if err != nil {
		return "", nil, err
	}
	return p.Addr, p.Stop, nil
}
