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
	reply, err := c.conns.Do(ctx, tryTime, guard, "LOCK.FENCE", guard, token)
	switch {
	case err != nil:
		return failed("fence", guard, err)
	case reply != int64(1):
		return failed("fence", guard, fmt.Errorf("%w %d", ErrStale, token))
	}
	return nil
}

// RowsAffecter is what the helper [Affected] needs of a database/sql.Result.
type RowsAffecter interface {
	RowsAffected() (int64, error)
}

// Affected turns the outcome of a fenced SQL statement into an error: [ErrStale]
// if it touched no row, because the row's fence was beyond the token.
//
//	err := lock.Affected(db.ExecContext(ctx,
//		"UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2",
//		balance, l.Token(), id))
func Affected(result RowsAffecter, err error) error {
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

// HeaderSetter is what [SetToken] needs of a net/http.Header.
type HeaderSetter interface {
	Set(key, value string)
}

// HeaderGetter is what [HeaderToken] needs of a net/http.Header.
type HeaderGetter interface {
	Get(key string) string
}

// SetToken writes a token into the header of a request.
func SetToken(h HeaderSetter, token int64) {
	h.Set(Header, strconv.FormatInt(token, 10))
}

// HeaderToken reads the token of a request. The error is that of a request that
// has none, which a fenced resource should refuse.
func HeaderToken(h HeaderGetter) (int64, error) {
	token, err := strconv.ParseInt(h.Get(Header), 10, 64)
	if err != nil || token <= 0 {
		return 0, fmt.Errorf("lock: no fencing token in header %s: %q", Header, h.Get(Header))
	}
	return token, nil
}
