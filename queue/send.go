package queue

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

// outageOfActs is how long an Inspector's acts try again while the server cannot be
// reached: an operator would rather be told.
const outageOfActs = 5 * time.Second

// send sends a command, and again after errors that pass, until they have for as long as
// outage. A command that would do harm if it were carried out twice is repeated only where
// the server cannot have carried it out; then an error is [ErrUnknown] as well.
func send(ctx context.Context, conns *blocking.Pool, outage time.Duration, harmless bool, args ...any) (any, error) {
	reply, _, err := sendNoting(ctx, conns, outage, harmless, args...)
	return reply, err
}

// sendNoting is send, and notes whether the command was sent again after a reply was lost:
// then the server may have carried it out twice.
func sendNoting(ctx context.Context, conns *blocking.Pool, outage time.Duration, harmless bool, args ...any) (reply any, resent bool, err error) {
	var backoff blocking.Backoff
	for {
		reply, err = conns.Send(ctx, args...)
		if err == nil {
			return reply, resent, nil
		}
		lost := !blocking.Refused(err) && !blocking.Unsent(err)
		if blocking.Passes(err) && (harmless || !lost) && backoff.Pause(ctx, outage) {
			resent = resent || lost
			continue
		}
		if lost || resent {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return nil, resent, err
	}
}

// sendForCount is sendNoting for a command that answers a number, or OK.
func sendForCount(ctx context.Context, conns *blocking.Pool, outage time.Duration, args ...any) (n int, resent bool, err error) {
	reply, resent, err := sendNoting(ctx, conns, outage, true, args...)
	return int(blocking.Int(reply)), resent, err
}

// cancelIn cancels tasks in a stream and in the retry streams of its groups.
func cancelIn(ctx context.Context, conns *blocking.Pool, outage time.Duration, stream string, groups []group, ids []string) (total int, err error) {
	streams := []string{stream}
	for _, g := range groups {
		streams = append(streams, RetryStream(stream, g.name))
	}
	unsure := false
	for _, s := range streams {
		args := []any{"TASK.CANCEL", s}
		for _, id := range ids {
			args = append(args, id)
		}
		n, resent, err := sendForCount(ctx, conns, outage, args...)
		if err != nil {
			return total, err
		}
		unsure = unsure || resent && n < len(ids)
		total += n
	}
	if unsure && total < len(ids) {
		return total, fmt.Errorf("%w: a reply was lost, and what was not there then may have been cancelled before", ErrUnknown)
	}
	return total, nil
}

// sendTogether sends commands of one slot in a transaction, and again where the server
// cannot have carried it out, until errors have passed for as long as outage.
func sendTogether(ctx context.Context, conns *blocking.Pool, outage time.Duration, commands [][]any) ([]any, error) {
	var backoff blocking.Backoff
	for {
		replies, errs := conns.SendTogether(ctx, commands)
		var err error
		carriedOut := false
		for i := range errs {
			err = cmp.Or(err, errs[i])
			carriedOut = carriedOut || errs[i] == nil
		}
		if err == nil || carriedOut {
			return replies, err
		}
		lost := !blocking.Refused(err) && !blocking.Unsent(err)
		if blocking.Passes(err) && !lost && backoff.Pause(ctx, outage) {
			continue
		}
		if lost {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return nil, err
	}
}
