package lock

import (
	"context"
	"fmt"
	"strconv"
)

// Fence lets a token pass a guard, a key of Redis that remembers the greatest
// that passed, or answers [ErrStale]. It protects what is kept in Redis, and
// whatever else can ask before it acts.
func (c *Client) Fence(ctx context.Context, guard string, token int64) error {
	reply, err := c.conns.Send(ctx, "LOCK.FENCE", guard, token)
	switch {
	case err != nil:
		return failed("fence", guard, err)
	case reply != int64(1):
		return failed("fence", guard, fmt.Errorf("%w %d", ErrStale, token))
	}
	return nil
}

// Affected turns the outcome of a fenced SQL statement into an error: [ErrStale]
// if it touched no row, because the row's fence was beyond the token.
//
//	err := lock.Affected(db.ExecContext(ctx,
//		"UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2",
//		balance, l.Token(), id))
func Affected(result interface{ RowsAffected() (int64, error) }, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = fmt.Errorf("lock: %w: no row had this one or a smaller", ErrStale)
	}
	return err
}

// Header is the name of the header that carries a fencing token over HTTP.
const Header = "Fencing-Token"

// SetToken writes a token into the header of a request (an [net/http.Header]).
func SetToken(h interface{ Set(key, value string) }, token int64) {
	h.Set(Header, strconv.FormatInt(token, 10))
}

// HeaderToken reads the token of a request. The error is that of a request that
// has none, which a fenced resource should refuse.
func HeaderToken(h interface{ Get(key string) string }) (int64, error) {
	token, err := strconv.ParseInt(h.Get(Header), 10, 64)
	if err != nil || token <= 0 {
		return 0, fmt.Errorf("lock: no fencing token in header %s: %q", Header, h.Get(Header))
	}
	return token, nil
}
