package queue

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// State is where a task stands on its way.
type State string

// A task is in one of these states for each group.
const (
	Ready   State = "ready"   // no worker of the group was given the task
	InWork  State = "in-work" // a worker has the task
	Delayed State = "delayed" // the task is not due yet
	Held    State = "held"    // the task waits until others of its key are done
	Dead    State = "dead"    // the task is a dead letter
)

// Record is a task as it lies in the server, seen by an [Inspector].
type Record struct {
	ID      string `json:"id"`    // what Publish returned, for life
	Entry   string `json:"entry"` // the id under which the task lies in Key
	Key     string `json:"key"`   // the stream or sorted set that holds the task
	State   State  `json:"state"`
	Kind    string `json:"kind,omitempty"`
	TaskKey string `json:"task_key,omitempty"` // what the option Key was given
	Payload []byte `json:"-"`                  // in JSON payload, or payload_base64 where it is no UTF-8
	Size    int    `json:"-"`                  // of the whole payload in bytes, also where SearchOptions.Keep has shortened it

	Headers   Headers   `json:"headers,omitempty"`
	Published time.Time `json:"published"`         // first, to the second
	Since     time.Time `json:"since"`             // when the entry came to where it lies
	Due       time.Time `json:"due,omitzero"`      // of a delayed task, and of a held one that is tried again later
	Try       int       `json:"try"`               // 1 for a task that never failed
	Error     string    `json:"error,omitempty"`   // of the last try; of a dead letter, its reason
	History   []Failure `json:"history,omitempty"` // the last failures, newest last

	Group      string        `json:"group,omitempty"`         // of a ready task, one in work, or a dead letter
	Consumer   string        `json:"consumer,omitempty"`      // who has the task, or had it last
	Deliveries int           `json:"deliveries,omitempty"`    // how often the task was given to a consumer
	Idle       time.Duration `json:"idle_ns,omitempty"`       // since the task was delivered or its lease renewed
	LeaseLeft  time.Duration `json:"lease_left_ns,omitempty"` // 0 where the server does not say
	Connected  bool          `json:"connected,omitempty"`     // the consumer waits, or spoke within its lease
	Origin     string        `json:"origin,omitempty"`        // of a dead letter: the entry that failed last

	place  int    // which of the keys of a list this is
	cursor string // where a list goes on behind this task, within that key
}

// Failure is one failed try of a task.
type Failure struct {
	At       time.Time `json:"at"`
	Entry    string    `json:"entry"`
	Consumer string    `json:"consumer"`
	Error    string    `json:"error"`
}

// MarshalJSON writes the record with its payload as text, or as base64.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record
	out := struct {
		plain
		Text   *string `json:"payload,omitempty"`
		Binary []byte  `json:"payload_base64,omitempty"`
	}{plain: plain(r)}
	if utf8.Valid(r.Payload) {
		text := string(r.Payload)
		out.Text = &text
	} else {
		out.Binary = r.Payload
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Record) UnmarshalJSON(data []byte) error {
	type plain Record
	in := struct {
		*plain
		Text   *string `json:"payload"`
		Binary []byte  `json:"payload_base64"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if r.Payload = in.Binary; in.Text != nil {
		r.Payload = []byte(*in.Text)
	}
	r.Size = len(r.Payload)
	return nil
}

// recordOf makes a record of an entry's fields, names and values in turn.
func recordOf(state State, key, entry string, fields []any) Record {
	r := Record{ID: entry, Entry: entry, Key: key, State: state, Since: timeOf(entry), Try: 1, cursor: entry}
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		switch name {
		case fieldPayload:
			r.Payload, r.Size = []byte(value), len(value)
		case fieldTimestamp:
			seconds, _ := strconv.ParseInt(value, 10, 64)
			r.Published = time.Unix(seconds, 0)
		case fieldRetries:
			n, _ := strconv.Atoi(value)
			r.Try = n + 1
		case fieldTaskID:
			r.ID = value
		case fieldError:
			if r.Error == "" { // reason, where there is one, says more
				r.Error = value
			}
		case fieldHistory:
			r.History = historyOf(value)
		case fieldKind:
			r.Kind = value
		case fieldKey:
			r.TaskKey = value
		case "reason":
			r.Error = value
		case "origin_group":
			r.Group = value
		case "origin_consumer":
			r.Consumer = value
		case "origin_id":
			r.Origin = value
		case "deliveries":
			r.Deliveries, _ = strconv.Atoi(value)
		case "origin_stream", "first_timestamp", "failed_at", "unique_id", "unique_until_done", "expire_at", fieldWeight:
		default:
			if r.Headers == nil {
				r.Headers = Headers{}
			}
			r.Headers[name] = value
		}
	}
	return r
}

// The fields of an entry that the server or this package writes.
const (
	fieldPayload   = "payload"
	fieldTimestamp = "timestamp"
	fieldRetries   = "retry_count"
	fieldTaskID    = "task_id"
	fieldError     = "error"
	fieldHistory   = "history"
	fieldKey       = "key"
	fieldWeight    = "key_weight"

	fieldKind     = "kind"
	fieldMaxTries = "max_tries"
	fieldTimeout  = "timeout_ms"
	fieldBackoff  = "backoff_ms"
)

// historyOf reads the field history. What cannot be read is left out.
func historyOf(text string) []Failure {
	var list []struct {
		At       int64  `json:"at"`
		ID       string `json:"id"`
		Consumer string `json:"consumer"`
		Error    string `json:"error"`
	}
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	all := make([]Failure, len(list))
	for i, f := range list {
		all[i] = Failure{At: time.UnixMilli(f.At), Entry: f.ID, Consumer: f.Consumer, Error: f.Error}
	}
	return all
}
