// Package cli has what the verbs of the tool share: how a server is found, how things are shown to
// people and to programs, how what destroys is confirmed, and what an exit code means.
package cli
