package mtatest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/internal/scratch"
)

// Recorder stands between a mail server and the real command: it notes what
// the server handed over, then becomes the command.
type Recorder struct {
	// Path is the program to configure in the mail server.
	Path string
	runs string
}

// Run is what one call received.
type Run struct {
	Args  []string // without the program
	Env   []string // name=value, in the server's order
	Stdin []byte
}

// The shell's own view in /proc has the exact bytes; "$@" and env would do for
// words, but not for what a hostile sender can put into an address.
const recorder = `#!/bin/sh
run=$(mktemp -d '%[1]s/'"$(date +%%s%%N)".XXXXXXXX) || exit 75
cat /proc/$$/cmdline >"$run/cmdline" || exit 75
cat /proc/$$/environ >"$run/environ" || exit 75
cat >"$run/stdin" || exit 75
: >"$run/complete"
exec %[2]s "$@" <"$run/stdin"
`

// Capture makes a command that records every call and then runs next with the
// server's arguments appended and the same standard input. Without next it
// exits 0.
func Capture(t testing.TB, next ...string) *Recorder {
	t.Helper()
	dir := scratch.ForTest(t)
	r := &Recorder{Path: filepath.Join(dir, "capture"), runs: filepath.Join(dir, "runs")}
	if err := os.Mkdir(r.runs, 0o755); err != nil {
		t.Fatal(err)
	}
	// Any user a server chooses writes here.
	if err := os.Chmod(r.runs, 0o777); err != nil {
		t.Fatal(err)
	}
	if len(next) == 0 {
		next = []string{"/bin/true"}
	}
	quoted := make([]string, len(next))
	for i, arg := range next {
		quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	script := fmt.Sprintf(recorder, r.runs, strings.Join(quoted, " "))
	write(t, r.Path, script)
	if err := os.Chmod(r.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

// Runs are the calls so far, oldest first.
func (r *Recorder) Runs(t testing.TB) []Run {
	t.Helper()
	done, err := filepath.Glob(filepath.Join(r.runs, "*", "complete"))
	if err != nil {
		t.Fatal(err)
	}
	var runs []Run
	for _, name := range done {
		dir := filepath.Dir(name)
		// /bin/sh and the script come first.
		args := nulSeparated(read(t, filepath.Join(dir, "cmdline")))[2:]
		runs = append(runs, Run{
			Args:  args,
			Env:   nulSeparated(read(t, filepath.Join(dir, "environ"))),
			Stdin: read(t, filepath.Join(dir, "stdin")),
		})
	}
	return runs
}

// Getenv is the value of a variable of the call, "" if it was not set.
func (r Run) Getenv(name string) string {
	for _, item := range r.Env {
		if value, ok := strings.CutPrefix(item, name+"="); ok {
			return value
		}
	}
	return ""
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func nulSeparated(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(text, []byte{0})), "\x00")
}
