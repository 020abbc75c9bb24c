package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// JSON is the flag --json: off, on, or a request for the shape. Its shape is the type that the verb
// prints, which is a stable contract: fields are added and never change.
type JSON struct{ mode string }

// Register adds the flag. shape is a value of what the verb prints, an element where it prints a list.
func (j *JSON) Register(cmd *cobra.Command, shape any) {
	cmd.Flags().StringVar(&j.mode, "json", "", "print JSON, an object a line for lists; --json=help prints its shape")
	cmd.Flags().Lookup("json").NoOptDefVal = "on"
	shown := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		switch j.mode {
		case "", "on":
		case "help":
			fmt.Fprint(cmd.OutOrStdout(), Shape(shape))
			return Exit(ExitDone)
		default:
			return Usage("--json=%s: it is --json or --json=help", j.mode)
		}
		if shown != nil {
			return shown(cmd, args)
		}
		return nil
	}
	// --json=help needs no arguments.
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, a []string) error {
		if j.mode == "help" || args == nil {
			return nil
		}
		return args(cmd, a)
	}
}

// On tells whether JSON is wanted.
func (j *JSON) On() bool { return j.mode == "on" }

// PrintJSON writes a value on one line.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Shape describes the JSON of a value: a line a field, with its type.
func Shape(v any) string {
	var b strings.Builder
	shape(&b, reflect.TypeOf(v), "")
	return b.String()
}

func shape(b *strings.Builder, t reflect.Type, prefix string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			shape(b, f.Type, prefix)
			continue
		}
		if name == "-" || name == "" || !f.IsExported() {
			continue
		}
		kind := kindOf(f.Type)
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			kind += ", optional"
		}
		fmt.Fprintf(b, "%-28s %-24s %s\n", prefix+name, kind, f.Tag.Get("help"))
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		shape(b, inner, prefix+name+".")
	}
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "base64"
		}
		return "list of " + kindOf(t.Elem())
	case reflect.Map:
		return "object of " + kindOf(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return "time"
		}
		return "object"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Interface:
		return "any"
	}
	return "number"
}

// Table shows rows in columns as wide as they need, the last one cut where the terminal ends.
type Table struct {
	Head  []string
	rows  [][]string
	right []bool // a column of numbers
}

// Row adds a row. Numbers stand to the right, with separators.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Cell(c)
		if len(t.right) <= i {
			t.right = append(t.right, true)
		}
		switch c.(type) {
		case int, int64, float64, time.Duration, nil:
		default:
			t.right[i] = false
		}
	}
	t.rows = append(t.rows, row)
}

// Cell is how a value is shown to people.
func Cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return Printable(v)
	case int:
		return Number(int64(v))
	case int64:
		return Number(v)
	case float64:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case time.Duration:
		return Duration(v)
	case bool:
		if v {
			return "yes"
		}
		return ""
	}
	return fmt.Sprint(v)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Print writes the table, no wider than width; 0 for any width.
func (t *Table) Print(w io.Writer, width int) error {
	all := t.rows
	if len(t.Head) > 0 {
		all = append([][]string{t.Head}, all...)
	}
	var widths []int
	for _, row := range all {
		for i, c := range row {
			if len(widths) <= i {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b bytes.Buffer
	for _, row := range all {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i > 0 {
				line.WriteString("  ")
			}
			if i < len(t.right) && t.right[i] {
				line.WriteString(pad + c)
			} else if i < len(row)-1 {
				line.WriteString(c + pad)
			} else {
				line.WriteString(c)
			}
		}
		fmt.Fprintln(&b, Cut(strings.TrimRight(line.String(), " "), width))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Cut shortens a text to so many characters; 0 leaves it.
func Cut(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// Printable shows what a terminal would act on as escapes.
func Printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		q := strconv.Quote(s)
		return q[1 : len(q)-1]
	}
	return s
}

// Number writes a number with separators: 1,204.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	from := 0
	if n < 0 {
		from = 1
	}
	for i := len(s) - 3; i > from; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Duration writes a duration in at most two units: 1m05s, 3h20m, 450ms.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return strconv.FormatInt(int64(d.Seconds()), 10) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Width is that of the terminal that w is, or 0 where it is none.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 80
	}
	return width
}

// Colour tells whether w is a terminal whose user wants colours.
func Colour(w io.Writer) bool { return Width(w) > 0 && os.Getenv("NO_COLOR") == "" }
