package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"time"

	"holdfast/internal/shell"
	"holdfast/queue"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"number": func(n any) string {
		switch n := n.(type) {
		case int:
			return number(n)
		case int64:
			return number(n)
		}
		return ""
	},
	"count": count, "span": span, "took": took, "moment": moment, "lease": lease, "spark": spark, "cut": cut, "short": short, "clip": clip, "gist": gist, "size": sizeOf,
	"hex": hexOf, "eta": eta, "rule": rule, "millis": func(ms int64) string { return took(time.Duration(ms) * time.Millisecond) }, "sub": func(a, b int) int { return a - b },
	"before":  func(now time.Time, d time.Duration) time.Time { return now.Add(-d) },
	"command": func(verb string, names ...string) string { return shell.Command(verb, nil, names...) },
	"text":    func(b []byte) string { return string(b) },
	"pair":    func(v *visit, data any) pair { return pair{v, data} },
	"head":    func(all []queue.FailureGroup) []queue.FailureGroup { return all[:min(causesMost, len(all))] },
	"sending": func(act *button, typed, label string) sending { return sending{act, typed, label} },
	"asset":   func(name string) string { return "assets/" + name + "?" + versions[name] },
}).ParseFS(templateFiles, "templates/*.html"))

// pair gives a template the visit together with what it is about.
type pair struct {
	V *visit
	D any
}

// sending is a form that does an act, after the page that asked.
type sending struct {
	Act          *button
	Typed, Label string
}

// Content is the page's own part.
func (v *visit) Content() (template.HTML, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, v.page.name, v)
	return template.HTML(b.String()), err
}

// layout is what the outermost template is given.
type layout struct {
	*visit
	Main template.HTML
	Seen string
}

// render writes the whole page ("layout"), or its content alone ("main").
func (v *visit) render(w io.Writer, what string) error {
	main, err := v.Content()
	if err != nil {
		return err
	}
	if what == "main" {
		_, err = io.WriteString(w, string(main))
		return err
	}
	return templates.ExecuteTemplate(w, "layout", layout{v, main, markOf([]byte(main)).sum})
}

// versions of the assets are parts of their addresses, so that browsers may keep them for ever.
var versions = func() map[string]string {
	all := map[string]string{}
	files, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		data, _ := assetFiles.ReadFile("assets/" + f.Name())
		sum := sha256.Sum256(data)
		all[f.Name()] = hex.EncodeToString(sum[:6])
	}
	return all
}()

func (b *board) asset(w http.ResponseWriter, r *http.Request, name string) {
	data, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		b.refuse(w, r, failure{http.StatusNotFound, "There is no such file."})
		return
	}
	if r.URL.RawQuery == versions[name] {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}
