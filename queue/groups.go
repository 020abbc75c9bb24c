package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// group is a consumer group of a stream.
type group struct {
	name  string
	given string // the last id that the group was given
}

// groupsOf lists the groups of a stream, none where there is no stream.
func groupsOf(ctx context.Context, conns *blocking.Pool, stream string) (all []group, err error) {
	reply, err := conns.Send(ctx, "XINFO", "GROUPS", stream)
	if err != nil {
		if redis.HasErrorPrefix(err, "no such key") {
			err = nil
		}
		return nil, err
	}
	list, _ := reply.([]any)
	for _, one := range list {
		m := mapOf(one)
		var g group
		g.name, _ = m["name"].(string)
		g.given, _ = m["last-delivered-id"].(string)
		all = append(all, g)
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
	list, _ := reply.([]any)
	for _, one := range list {
		m := mapOf(one)
		name, _ := m["name"].(string)
		all = append(all, Consumer{Name: name, Pending: number(m["pending"]), Idle: time.Duration(number(m["idle"])) * time.Millisecond})
	}
	return all, nil
}
