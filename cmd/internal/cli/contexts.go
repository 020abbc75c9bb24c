package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// Context is a server with a name.
type Context struct {
	Name       string `json:"-"`
	URL        string `json:"url"`
	Cluster    bool   `json:"cluster,omitempty"`
	Sentinel   string `json:"sentinel,omitempty"`
	CACert     string `json:"cacert,omitempty"`
	Cert       string `json:"cert,omitempty"`
	Key        string `json:"key,omitempty"`
	Production bool   `json:"production,omitempty"`
}

// Shown is what people are told of it: its name, or its URL without a password.
func (c Context) Shown() string {
	if c.Name != "" {
		return c.Name
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return "the server"
	}
	return u.Redacted()
}

// Contexts are the servers that have names, and the one in use.
type Contexts struct {
	Current  string             `json:"current,omitempty"`
	Contexts map[string]Context `json:"contexts"`
}

func contextsFile() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "holdfast", "contexts.json"), nil
}

// LoadContexts reads them. There are none where there is no file, or where the home is another
// user's, as in a container or behind sudo.
func LoadContexts() (*Contexts, error) {
	all := &Contexts{Contexts: map[string]Context{}}
	path, err := contextsFile()
	if err != nil {
		return all, nil // no home, no contexts
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, all); err != nil {
		return nil, Try(errors.New(path+" cannot be read: "+err.Error()), "mend the file, or remove it and add the contexts again")
	}
	if all.Contexts == nil {
		all.Contexts = map[string]Context{}
	}
	return all, nil
}

// Save writes them, for the user alone: URLs may hold passwords.
func (c *Contexts) Save() error {
	path, err := contextsFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
