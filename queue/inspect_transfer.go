package queue

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"holdfast/internal/blocking"
)

// Export writes the tasks of one state as JSON, one [Record] a line, and tells how many.
// It reads page by page, and does not stop the queue: tasks that come and go meanwhile may
// be missed.
func (i *Inspector) Export(ctx context.Context, stream string, o ListOptions, w io.Writer) (n int, err error) {
	out := json.NewEncoder(w)
	o.Limit = 1000
	for {
		page, err := i.List(ctx, stream, o)
		if err != nil {
			return n, err
		}
		for _, r := range page.Tasks {
			if err := out.Encode(r); err != nil {
				return n, err
			}
			n++
		}
		if o.Cursor = page.Cursor; o.Cursor == "" {
			return n, nil
		}
	}
}

// importMemory is how long the server knows that a task was imported.
const importMemory = 24 * time.Hour

// Import publishes tasks that Export wrote, with their headers, delayed ones for when they
// were due. They begin anew, under ids of their own. An import that failed may be repeated
// within a day: a task whose record has the same ID is added once.
func (i *Inspector) Import(ctx context.Context, stream string, r io.Reader) (n int, err error) {
	in := json.NewDecoder(bufio.NewReader(r))
	const step = 200
	for done := false; !done; {
		var commands [][]any
		for len(commands) < step {
			var task Record
			if err := in.Decode(&task); errors.Is(err, io.EOF) {
				done = true
				break
			} else if err != nil {
				return n, failed("import into", stream, err)
			}
			commands = append(commands, task.publication(stream))
		}
		if len(commands) == 0 {
			break
		}
		_, errs := i.conns.SendAll(ctx, commands)
		if err := errors.Join(errs...); err != nil {
			return n, failed("import into", stream, err)
		}
		n += len(commands)
	}
	return n, nil
}

// publication is the command that publishes a record as a new task.
func (r *Record) publication(stream string) []any {
	args := []any{"TASK.PUBLISH", stream, r.Payload}
	if r.Due.After(time.Now()) {
		args = append(args, "AT", r.Due.UnixMilli())
	}
	if r.ID != "" {
		args = append(args, "UNIQUE", "import:"+r.ID, blocking.Millis(importMemory))
	}
	if r.TaskKey != "" {
		args = append(args, "KEY", r.TaskKey)
	}
	headers := Headers{}
	for name, value := range r.Headers {
		headers[name] = value
	}
	if r.Kind != "" {
		headers[fieldKind] = r.Kind
	}
	return headers.append(args)
}
