// Mailrow is the operator's program: it prepares the database, prints the
// configuration of mail servers, shows what is stored and examines it all.
// Users need none of it: they query with SQL.
//
// Standard output has what was asked for, and nothing else. An error is one
// line on standard error: what, where, remedy. The exit status is 0, 1 when
// something failed, 2 when the command was not understood, and when a signal
// ended it 128 and the number of that, as of any program that one ends.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	exitFailed = 1
	exitUsage  = 2
	exitSignal = 128 // and its number
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	p := &program{getenv: getenv, in: stdin, out: stdout, err: stderr}
	root := p.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintln(stderr, "mailrow: "+line(interrupted(ctx, err)))
	}
	return exitOf(interrupted(ctx, err))
}

// errReported is a failure that the output shows already.
var errReported = errors.New("failed")

// usageError is a command that cannot be understood.
type usageError struct {
	command string // its whole name
	err     error
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v: see %s --help", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

func exitOf(err error) int {
	var usage *usageError
	var stop *interruption
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &stop):
		return exitSignal + int(stop.signal)
	}
	return exitFailed
}
