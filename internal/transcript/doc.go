// Package transcript reads, plays and checks the sessions that the written
// guide shows, so that the guide, the tour of the tool and the tests are one
// text.
//
// A session is a code block of Markdown marked console:
//
//	> XLEN tasks
//	(integer) 3
//
// A line with a prompt is a command as redis-cli takes it; the lines up to the
// next prompt are the reply as redis-cli prints it. A prompt may begin with a
// name: anna> is another terminal. A reply of (waiting) says that the command
// blocks; what it answers later stands behind a bare prompt of that terminal.
// A command with no reply below it may answer anything.
//
// Three things in a reply need not be as written: a stream id or token (13 to 19
// digits) stands for whatever the server gives, and later commands that name it
// mean that; a number of ten digits is any time in seconds; and … is any text.
package transcript
