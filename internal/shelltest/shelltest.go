// Package shelltest gives commands to a session of package shell.
package shelltest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/poller/dial"
	"mailrow/poller/sasl"
	"mailrow/shell"
)

// Session is a session to be tested. Its fields may be set before each Do.
type Session struct {
	JSON, Yes, KeepGoing bool
	t                    testing.TB
	box                  shell.Mailbox
}

// New is a session with a mailbox, which is closed after the test.
func New(t testing.TB, box shell.Mailbox) *Session {
	s := &Session{t: t, box: box}
	t.Cleanup(func() { s.close() })
	return s
}

func (s *Session) close() { _, _ = s.box.Close(context.Background(), false) } // the test may have lost it

// At is a server at an address, in clear, and its user of dovecottest.
func At(t testing.TB, addr string) (dial.Server, sasl.Credentials) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	password := func(context.Context) (sasl.Secret, error) { return sasl.NewSecret(dovecottest.Password), nil }
	return dial.Server{Host: host, Port: n, Security: dial.Clear}, sasl.Credentials{User: dovecottest.User, Password: password}
}

// staying does not close a mailbox at the end of a script.
type staying struct{ shell.Mailbox }

func (staying) Close(context.Context, bool) (string, error) { return "", nil }

// Try does commands in the session, and gives what it has written to either stream,
// and whether a command failed.
func (s *Session) Try(lines ...string) (out string, failed bool) {
	s.t.Helper()
	return s.script(staying{s.box}, lines)
}

// End is Try for the last commands of a session.
func (s *Session) End(lines ...string) (out string, failed bool) {
	s.t.Helper()
	return s.script(s.box, lines)
}

func (s *Session) script(box shell.Mailbox, lines []string) (string, bool) {
	s.t.Helper()
	var out bytes.Buffer
	sh := &shell.Shell{Mailbox: box, Out: &out, Err: &out, JSON: s.JSON, Yes: s.Yes, KeepGoing: s.KeepGoing}
	given := make(chan string, len(lines))
	for _, line := range lines {
		given <- line
	}
	close(given)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	err := sh.Script(ctx, given)
	if err != nil && !errors.Is(err, shell.ErrFailed) {
		s.t.Errorf("%q: %v", lines, err)
	}
	return out.String(), err != nil
}

// Do does commands that must succeed, and write all that is wanted.
func (s *Session) Do(command string, want ...string) string {
	s.t.Helper()
	out, failed := s.Try(command)
	if failed {
		s.t.Errorf("%s: %s", command, out)
	}
	s.says(command, out, want)
	return out
}

// Fail does a command that must fail with these words.
func (s *Session) Fail(command string, want ...string) {
	s.t.Helper()
	out, failed := s.Try(command)
	if !failed {
		s.t.Errorf("%s succeeds: %s", command, out)
	}
	s.says(command, out, want)
}

func (s *Session) says(command, out string, want []string) {
	s.t.Helper()
	for _, words := range want {
		if !strings.Contains(out, words) {
			s.t.Errorf("%s: got %s, want %q in it", command, out, words)
		}
	}
}
