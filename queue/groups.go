package queue

import (
	"context"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// group is a consumer group of a stream.
type group struct {
	name  string
	given string // the last id that the group was given
}

// groupsOf lists the groups of a stream, none where there is no stream.
func groupsOf(ctx context.Context, conns *blocking.Pool, stream string) ([]group, error) {
	return groupsIn(conns.Send(ctx, "XINFO", "GROUPS", stream))
}

// groupsIn reads what XINFO GROUPS answered.
func groupsIn(reply any, err error) (all []group, _ error) {
	if err != nil {
		if redis.HasErrorPrefix(err, "no such key") {
			err = nil
		}
		return nil, err
	}
	for _, g := range blocking.MapsOf(reply) {
		all = append(all, group{name: g.Text("name"), given: g.Text("last-delivered-id")})
	}
	return all, nil
}

// hasSeveralGroups tells whether a stream has more than one group: then a retry must go
// to its own group alone.
func hasSeveralGroups(ctx context.Context, conns *blocking.Pool, stream string) (bool, error) {
	groups, err := groupsOf(ctx, conns, stream)
	return len(groups) > 1, err
}

// consumersOf lists the consumers of a group.
func consumersOf(ctx context.Context, conns *blocking.Pool, stream, group string) (all []Consumer, err error) {
	reply, err := conns.Send(ctx, "XINFO", "CONSUMERS", stream, group)
	if err != nil {
		return nil, err
	}
	for _, c := range blocking.MapsOf(reply) {
		all = append(all, Consumer{Name: c.Text("name"), Pending: c.Int("pending"), Idle: c.Millis("idle")})
	}
	return all, nil
}
