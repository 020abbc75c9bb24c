package queue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// listCount is how many names one step of a list asks for.
const listCount = 1000

// listQueues is one step through a node's list of streams: TASK.LIST, or where the server
// has an older module, a step of SCAN over the streams that have groups.
func listQueues(ctx context.Context, node redis.UniversalClient, match, cursor string) (next string, names []string, err error) {
	reply, err := node.Do(ctx, "TASK.LIST", "MATCH", match, "CURSOR", cursor, "COUNT", listCount).Slice()
	if err == nil && len(reply) == 2 {
		list, _ := reply[1].([]any)
		for _, name := range list {
			names = append(names, fmt.Sprint(name))
		}
		return fmt.Sprint(reply[0]), names, nil
	}
	if err != nil && !redis.HasErrorPrefix(err, "unknown command") {
		return "", nil, err
	}
	from, _ := strconv.ParseUint(cursor, 10, 64)
	keys, to, err := node.ScanType(ctx, from, match, listCount, "stream").Result()
	if err != nil {
		return "", nil, err
	}
	for _, key := range keys {
		groups, err := node.XInfoGroups(ctx, key).Result()
		if err != nil && !redis.HasErrorPrefix(err, "no such key") {
			return "", nil, err
		}
		if len(groups) > 0 {
			names = append(names, key)
		}
	}
	return strconv.FormatUint(to, 10), names, nil
}
