package taskqueue

import rm "holdfast/redismodule"

// What a command does with its stream.
const (
	adds    = rm.KeyRW | rm.KeyInsert
	takes   = rm.KeyRW | rm.KeyAccess | rm.KeyUpdate
	settles = rm.KeyRW | rm.KeyDelete
)

func key(index int, flags rm.KeyFlags) rm.KeySpec { return rm.KeySpec{Index: index, Flags: flags} }

func arg(name string, t rm.ArgType, summary string) rm.Argument {
	return rm.Argument{Name: name, Type: t, Summary: summary}
}

func keyArg(name string, spec int, summary string) rm.Argument {
	return rm.Argument{Name: name, Type: rm.ArgKey, Key: spec, Summary: summary}
}

func optional(a rm.Argument) rm.Argument {
	a.Optional = true
	return a
}

func multiple(a rm.Argument) rm.Argument {
	a.Multiple = true
	return a
}

// option is TOKEN followed by values.
func option(token, summary string, values ...rm.Argument) rm.Argument {
	if len(values) == 0 {
		return rm.Argument{Name: lower(token), Type: rm.ArgToken, Token: token, Summary: summary, Optional: true}
	}
	if len(values) == 1 {
		v := values[0]
		v.Token, v.Optional, v.Summary = token, true, summary
		return v
	}
	return rm.Argument{Name: lower(token), Type: rm.ArgBlock, Token: token, Summary: summary, Optional: true, Args: values}
}

func oneOf(name string, choices ...rm.Argument) rm.Argument {
	for i := range choices {
		choices[i].Optional = false
	}
	return rm.Argument{Name: name, Type: rm.ArgOneOf, Optional: true, Args: choices}
}

func lower(token string) string {
	b := []byte(token)
	for i, c := range b {
		b[i] = c | 0x20
	}
	return string(b)
}

var (
	groupArg    = arg("group", rm.ArgString, "The consumer group.")
	consumerArg = arg("consumer", rm.ArgString, "The consumer's name within the group.")
	idArg       = arg("id", rm.ArgString, "The id of an entry of the stream.")
	waitArg     = oneOf("wait",
		option("DELAY", "Wait so many milliseconds.", arg("ms", rm.ArgInteger, "")),
		option("BACKOFF", "Wait a random time up to base_ms doubled with every retry, and up to max_ms at most.",
			arg("base_ms", rm.ArgInteger, ""), arg("max_ms", rm.ArgInteger, "")),
	)
	reasonArg = option("REASON", "Why it failed; kept as error and in the history.", arg("text", rm.ArgString, ""))
)

// Streams behind an option (DEAD, ALSO, TO) are not in the key specs on purpose,
// see otherKey.
var commands = []rm.Command{
	{
		Name: "task.publish", Handler: publish, Arity: -3, Since: "1.0.0",
		Summary:    "Adds a task to a stream and hands it to the consumer that has waited longest.",
		Complexity: "O(1), whatever the number of consumers waiting; O(log N) with DELAY, AT or KEY, N being the tasks delayed or held.",
		Flags:      "write deny-oom fast", Categories: "write fast stream",
		Keys: []rm.KeySpec{key(1, adds)},
		Args: []rm.Argument{
			keyArg("stream", 0, "The stream."),
			arg("payload", rm.ArgString, "The task, any bytes."),
			optional(arg("retry_count", rm.ArgInteger, "The number of retries before; 0 by default.")),
			oneOf("due",
				option("DELAY", "Add it to the stream in so many milliseconds.", arg("ms", rm.ArgInteger, "")),
				option("AT", "Add it to the stream at that time.", arg("unix_ms", rm.ArgInteger, "")),
			),
			option("UNIQUE", "Add nothing while another task has this unique id, which is for ttl_ms at most; answer that task's id.",
				arg("unique_id", rm.ArgString, ""), arg("ttl_ms", rm.ArgInteger, ""),
				rm.Argument{Name: "until_done", Type: rm.ArgToken, Token: "UNTIL DONE", Optional: true,
					Summary: "The task has the id only until it is acknowledged, buried or cancelled."}),
			option("EXPIRE", "Hand it out only within so many milliseconds from when it is due. Then it goes to the dead stream that consumers of the stream named last, or is dropped.", arg("expire_ms", rm.ArgInteger, "")),
			option("LIMIT", "Refuse with QUEUEFULL when the stream has so many entries and held tasks.", arg("limit", rm.ArgInteger, "")),
			option("KEY", "Whose task it is, such as a tenant's: by the rule that TASK.KEYS set for the stream, the task may be held back until others of its key are done.", arg("key", rm.ArgString, "")),
			option("WEIGHT", "With KEY: how many turns the key gets to one of the others; 1 by default.", arg("weight", rm.ArgInteger, "")),
			option("HEADERS", "Further fields of the entry.", arg("count", rm.ArgInteger, "The number of headers."),
				multiple(rm.Argument{Name: "header", Type: rm.ArgBlock, Args: []rm.Argument{
					arg("name", rm.ArgString, ""), arg("value", rm.ArgString, ""),
				}})),
			option("WITHSTATUS", "Tell whether the task was added."),
		},
		Reply: "The task's id, which it keeps for life: its first entry's id or, of a delayed or held task, an id that begins with delayed- or held-. With WITHSTATUS, [NEW or DUPLICATE, id].",
	},
	{
		Name: "task.mpublish", Handler: mpublish, Arity: -3, Since: "1.0.0",
		Summary:    "Adds several tasks to a stream.",
		Complexity: "O(N), N being the number of tasks.",
		Flags:      "write deny-oom", Categories: "write stream slow",
		Keys:  []rm.KeySpec{key(1, adds)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream."), multiple(arg("payload", rm.ArgString, "A task."))},
		Reply: "The ids of the entries, in the order of the tasks.",
	},
	{
		Name: "task.consume", Handler: consume, Arity: -4, Since: "1.0.0",
		Summary:    "Takes tasks of a stream for a consumer of a group, waiting for them if there are none. Makes the group, from the first entry on.",
		Complexity: "O(N), N being the tasks taken.",
		Flags:      "write blocking", Categories: "write stream blocking slow",
		Keys: []rm.KeySpec{key(3, takes)},
		Args: []rm.Argument{
			groupArg, consumerArg, keyArg("stream", 0, "The stream."),
			optional(arg("count", rm.ArgInteger, "The most tasks to take; 1 by default.")),
			optional(arg("block_ms", rm.ArgInteger, "Wait so many milliseconds for a task, for ever with 0; without it, not at all. An error where the server cannot block the connection: Valkey 8.1 and later, while it is subscribed.")),
			option("LEASE", "First take over tasks that were delivered to anyone so many milliseconds ago and neither acknowledged nor extended.", arg("lease_ms", rm.ArgInteger, "")),
			option("MAXDELIVERIES", "A task delivered so many times is not taken over, it goes to the dead stream.",
				arg("deliveries", rm.ArgInteger, ""), rm.Argument{Name: "dead_stream", Type: rm.ArgString, Token: "DEAD"}),
			option("RESUME", "First give the tasks that this consumer has already, with a new lease: its process came back under its name, or a reply was lost."),
			option("ALSO", "Further streams, each looked at when those before it gave too little.",
				arg("streams", rm.ArgInteger, "Their number."), multiple(arg("further_stream", rm.ArgString, ""))),
		},
		Reply: "As XREADGROUP: a list of [stream, [[id, [field, value, …]], …]], or nil when there is nothing in time.",
	},
	{
		Name: "task.ack", Handler: ack, Arity: -4, Since: "1.0.0",
		Summary:    "Acknowledges tasks, and deletes entries that every group of the stream has acknowledged.",
		Complexity: "O(N*M), N being the ids and M the groups of the stream.",
		Flags:      "write fast", Categories: "write fast stream",
		Keys: []rm.KeySpec{key(1, settles)},
		Args: []rm.Argument{
			keyArg("stream", 0, "The stream."), groupArg, multiple(idArg),
			option("CONSUMER", "Acknowledge only tasks that this consumer still owns, and none that another one took over.", arg("owner", rm.ArgString, "")),
		},
		Reply: "The number of tasks acknowledged.",
	},
	{
		Name: "task.retry", Handler: retry, Arity: -8, Since: "1.0.0",
		Summary:    "Adds a failed task to a retry stream, or to a dead stream after max_retries.",
		Complexity: "O(1); O(log N) with DELAY or BACKOFF, N being the tasks delayed.",
		Flags:      "write deny-oom", Categories: "write stream slow",
		Keys: []rm.KeySpec{key(1, settles|rm.KeyAccess), key(5, adds), key(6, adds)},
		Args: []rm.Argument{
			keyArg("stream", 0, "The stream it came from."), idArg,
			arg("payload", rm.ArgString, "The task."), arg("retry_count", rm.ArgInteger, "The number of retries before."),
			keyArg("retry_stream", 1, "Where it goes while retry_count is below max_retries, with retry_count + 1."),
			keyArg("dead_stream", 2, "Where it goes otherwise."), arg("max_retries", rm.ArgInteger, ""),
			option("GROUP", "Acknowledge the source in the same step; if it is no longer pending there, do nothing and answer nil.", arg("source_group", rm.ArgString, "")),
			option("CONSUMER", "With GROUP: only if this consumer still owns it.", arg("owner", rm.ArgString, "")),
			waitArg, reasonArg,
			option("WITHID", "Answer what was done and the new entry's id."),
		},
		Reply: "OK; with WITHID, [RETRY or DEAD, id]; nil when the source was no longer pending.",
	},
	{
		Name: "task.nack", Handler: nack, Arity: -5, Since: "1.0.0",
		Summary:    "Gives a task back: acknowledges it and publishes it again with retry_count + 1, or buries it, in one step.",
		Complexity: "O(M), M being the groups of the stream; O(log N) more with DELAY or BACKOFF, N being the tasks delayed.",
		Flags:      "write", Categories: "write stream slow",
		Keys: []rm.KeySpec{key(1, settles|rm.KeyAccess)},
		Args: []rm.Argument{
			keyArg("stream", 0, "The stream."), groupArg, consumerArg, idArg, waitArg,
			option("MAXRETRIES", "A task that was retried so many times goes to the dead stream.",
				arg("retries", rm.ArgInteger, ""), rm.Argument{Name: "dead_stream", Type: rm.ArgString, Token: "DEAD"}),
			reasonArg,
			option("NOCOUNT", "Do not count this as a try: retry_count, error and history stay as they are, and the task is not buried."),
			option("TO", "Publish it to this stream instead of its own.", arg("retry_stream", rm.ArgString, "")),
		},
		Reply: "[RETRY or DEAD, id of the new entry], or nil when the task is no longer pending for the consumer.",
	},
	{
		Name: "task.extend", Handler: extend, Arity: -5, Since: "1.0.0",
		Summary:    "Restarts the lease of tasks that the consumer still owns.",
		Complexity: "O(N), N being the ids.",
		Flags:      "write fast", Categories: "write fast stream",
		Keys:  []rm.KeySpec{key(1, rm.KeyRW|rm.KeyUpdate)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream."), groupArg, consumerArg, multiple(idArg)},
		Reply: "The number of tasks extended.",
	},
	{
		Name: "task.redrive", Handler: redrive, Arity: -2, Since: "1.0.0",
		Summary:    "Moves dead tasks back to where they came from, with retry_count 0; their ids and histories stay.",
		Complexity: "O(N), N being the tasks moved or the ids.",
		Flags:      "write", Categories: "write stream slow",
		Keys: []rm.KeySpec{key(1, rm.KeyRW|rm.KeyAccess|rm.KeyDelete)},
		Args: []rm.Argument{
			keyArg("dead_stream", 0, "The dead stream."),
			oneOf("which",
				option("IDS", "The tasks of these ids, or of the entries of these ids. entry:id is an entry's id and no task's.",
					arg("ids", rm.ArgInteger, "Their number."), multiple(arg("id", rm.ArgString, ""))),
				option("COUNT", "The most tasks to move, from the beginning of the dead stream; 1000 by default, taskqueue.max-count at most.", arg("count", rm.ArgInteger, "")),
			),
			option("TO", "Move them to this stream instead.", arg("stream", rm.ArgString, "")),
			option("PAYLOAD", "Replace the task's payload; with exactly one id.", arg("payload", rm.ArgString, "")),
		},
		Reply: "The number of tasks moved.",
	},
	{
		Name: "task.cancel", Handler: cancel, Arity: -3, Since: "1.0.0",
		Summary:    "Removes tasks in any state: delayed, held, waiting, in work or to be retried. Their owners can no longer extend, acknowledge or give them back.",
		Complexity: "O(N*M), N being the ids and M the groups of the stream; O(log(D)^2) more for each that is delayed, D being the tasks delayed.",
		Flags:      "write", Categories: "write stream slow",
		Keys:  []rm.KeySpec{key(1, rm.KeyRW|rm.KeyDelete)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream; also a dead stream, whose tasks are discarded."), multiple(arg("id", rm.ArgString, "What TASK.PUBLISH answered, or the id of an entry."))},
		Reply: "The number of tasks removed. Tasks that are done or cannot be found are not counted.",
	},
	{
		Name: "task.keys", Handler: keys, Arity: -2, Since: "1.0.0",
		Summary:    "Sets or tells how many tasks of one key a queue lets in. Tasks beyond that are held back, and keys take turns.",
		Complexity: "O(1); O(N log N) with COUNT N. A new rule is applied to what is in the stream and held in the background.",
		Flags:      "write deny-oom", Categories: "write stream slow",
		Keys: []rm.KeySpec{key(1, rm.KeyRW|rm.KeyAccess|rm.KeyUpdate)},
		Args: []rm.Argument{
			keyArg("stream", 0, "The stream. It may have one group."),
			oneOf("most",
				option("LIMIT", "Never have more than so many tasks of a key in the stream or in work.", arg("limit", rm.ArgInteger, "")),
				option("SHARE", "The same, but let in more for a consumer that would get too little.", arg("share", rm.ArgInteger, "")),
			),
			rm.Argument{Name: "rate", Type: rm.ArgBlock, Token: "RATE", Optional: true, Summary: "Let in so many tasks of a key within per_ms.", Args: []rm.Argument{
				arg("n", rm.ArgInteger, ""), {Name: "per_ms", Type: rm.ArgInteger, Token: "PER"},
				option("ALL", "Count the tasks of all keys together."),
			}},
			option("ORDERED", "Let in the tasks of a key one by one, and a task that is tried again before the others."),
			option("NONE", "Take the rule away and let in what is held."),
			option("COUNT", "Without a rule: how many of the longest lines to tell; 1 by default.", arg("count", rm.ArgInteger, "")),
		},
		Reply: "OK. Without a rule, a map: limit, share, rate, per_ms (each nil where it is not set), all, ordered, held (tasks), keys (with held tasks) and lines: for each of the keys with most held tasks a map of key, held, in (in the stream or in work, where the rule counts them; 0 while a large stream is read) and weight.",
	},
	{
		Name: "task.pause", Handler: pause, Arity: 2, Since: "1.0.0",
		Summary:    "Makes a queue hand out nothing until TASK.RESUME; it still takes tasks.",
		Complexity: "O(1)",
		Flags:      "write fast", Categories: "write fast stream",
		Keys:  []rm.KeySpec{key(1, rm.KeyRW|rm.KeyUpdate)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream.")},
		Reply: "OK",
	},
	{
		Name: "task.resume", Handler: resume, Arity: 2, Since: "1.0.0",
		Summary:    "Ends TASK.PAUSE and serves who waits.",
		Complexity: "O(1)",
		Flags:      "write fast", Categories: "write fast stream",
		Keys:  []rm.KeySpec{key(1, rm.KeyRW|rm.KeyUpdate)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream.")},
		Reply: "OK",
	},
	{
		Name: "task.stats", Handler: status, Arity: 2, Since: "1.0.0",
		Summary:    "Tells how a queue and its groups are doing.",
		Complexity: "O(M), M being the groups and their consumers; entries are counted one by one, up to 10000, where a stream's deletions leave the server without a number.",
		Flags:      "readonly", Categories: "read stream slow",
		Keys:  []rm.KeySpec{key(1, rm.KeyRO|rm.KeyAccess)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream.")},
		Reply: "A map: length, delayed, paused, waiting, oldest_age_ms, published (entries ever added, by anyone), what was retried, dead, expired and cancelled since the server started, held (tasks that TASK.KEYS holds back), keys (with held tasks), longest_line (held tasks of the key with most) and longest_key; and groups: for each a map of name, ready, pending, consumers, waiting, oldest_pending_ms, what was delivered, acked, reclaimed and lost_trimmed since the group was first seen, lease_ms as last asked for, wait_ms (from publication to the first hand-out) and run_ms (from a hand-out to its acknowledgement), each a map of count, p50, p99 and max by samples.",
	},
	{
		Name: "task.list", Handler: list, Arity: -1, Since: "1.0.0",
		Summary:    "Lists the queues of this node and database that the user may read, by cursor.",
		Complexity: "O(N) for COUNT N; with WITHSTATS O(M) more for each stream, M being its groups.",
		Flags:      "readonly", Categories: "read stream slow",
		Args: []rm.Argument{
			{Name: "glob", Type: rm.ArgPattern, Token: "MATCH", Optional: true},
			option("CURSOR", "Where the last call ended; 0 begins.", arg("cursor", rm.ArgString, "")),
			option("COUNT", "About how many to list; 10 by default.", arg("count", rm.ArgInteger, "")),
			option("WITHSTATS", "Tell how each is doing."),
		},
		Reply: "[cursor, [stream, …]]; the cursor is 0 when the list is at its end. With WITHSTATS a map for each stream: stream, length, ready, in_work, delayed, paused, waiting, oldest_age_ms, in_per_minute, out_per_minute, held, keys, longest_line, longest_key. The rates are nil until the stream is asked for a second time.",
	},
	{
		Name: "task.pending", Handler: listPending, Arity: -3, Since: "1.0.0",
		Summary:    "Lists the tasks that a group's consumers have in work, by cursor.",
		Complexity: "O(N+C), N being COUNT and C the consumers of the group.",
		Flags:      "readonly", Categories: "read stream slow",
		Keys: []rm.KeySpec{key(1, rm.KeyRO|rm.KeyAccess)},
		Args: []rm.Argument{
			keyArg("stream", 0, "The stream."), groupArg,
			option("CONSUMER", "Only what this consumer has.", arg("owner", rm.ArgString, "")),
			option("CURSOR", "Where the last call ended; 0 begins.", arg("cursor", rm.ArgString, "")),
			option("COUNT", "The most to list; 10 by default.", arg("count", rm.ArgInteger, "")),
		},
		Reply: "[cursor, [a map of id, task_id, owner, alive, deliveries, age_ms, lease_left_ms, …]]; the cursor is 0 when the list is at its end. alive is 1 when the owner waits for tasks or asked for some within the lease that the group's consumers last asked for; without one lease_left_ms is nil, and a minute counts.",
	},
	{
		Name: "task.forget", Handler: forget, Arity: 4, Since: "1.0.0",
		Summary:    "Removes a consumer and makes its pending tasks available to the others.",
		Complexity: "O(N), N being its pending tasks; what a millisecond does not suffice for is made available in the background.",
		Flags:      "write", Categories: "write stream slow",
		Keys:  []rm.KeySpec{key(1, rm.KeyRW|rm.KeyUpdate)},
		Args:  []rm.Argument{keyArg("stream", 0, "The stream."), groupArg, consumerArg},
		Reply: "The number of tasks made available.",
	},
}
