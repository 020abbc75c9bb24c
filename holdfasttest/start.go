package holdfasttest

import (
	"context"

	"holdfast/internal/redisserver"
)

// Start starts a server with the three modules for what is not a test: examples
// and TestMain. It is $HOLDFAST_SERVER or redis-server, on a free port, and goes
// with stop, or with this process.
func Start() (addr string, stop func(), err error) {
	cfg, err := config(nil)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := redisserver.Start(ctx, cfg)
	if err != nil {
		return "", nil, hint(err)
	}
	return p.Addr, p.Stop, nil
}
