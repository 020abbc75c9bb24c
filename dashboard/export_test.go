package dashboard

import "net/url"

// CommandOf is the command shown beside the button of a form.
func CommandOf(name string, f url.Values) string {
	a, err := actOf(name)
	if err != nil {
		panic(err)
	}
	return a.Command(form{f})
}
