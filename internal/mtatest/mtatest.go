// Package mtatest runs private mail servers for tests, Postfix and Exim, with a
// delivery command under test. They listen on a free port of the loopback
// interface and have no way to send mail to any other machine: mail for
// row.test (and, on Postfix, local.test) goes to the command, everything else,
// bounces included, is thrown away.
//
// Retries happen only when a test asks with Flush.
package mtatest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/child"
	"mailrow/internal/needs"
)

const (
	// CommandDomain is the domain whose mail goes to the command: pipe(8) on
	// Postfix, the pipe transport on Exim.
	CommandDomain = "row.test"
	// LocalDomain is the domain of Postfix local(8): mailbox_command, aliases.
	LocalDomain = "local.test"
	// LocalUser is a Unix user every Linux has and local(8) delivers for;
	// commands run as this user unless a test says otherwise.
	LocalUser = "nobody"

	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
)

// Need ends the test when one of the mail servers is missing.
func Need(t testing.TB) {
	t.Helper()
	needPostfix(t)
	needExim(t)
}

// Result is one line of a server's log about one recipient.
type Result struct {
	QueueID   string
	Recipient string // as in RCPT, before aliases
	Status    string // sent, deferred, bounced, frozen (Exim)
	DSN       string // 4.3.0; Postfix only
	Text      string // the server's explanation
}

// server is what the two have in common.
type server struct {
	dir     string
	addr    string
	logs    []string // the first one is parsed
	parse   func(line string) (Result, bool)
	bounce  func(line string) bool
	process *child.Process
	taken   int // results WaitResults has returned
}

// Addr is the SMTP address, host:port.
func (s *server) Addr() string { return s.addr }

// Log is all the server has written.
func (s *server) Log() string {
	var all []byte
	for _, name := range s.logs {
		text, _ := os.ReadFile(name) // not every log exists
		all = append(all, text...)
	}
	return string(all)
}

// lines are the complete lines of the first log.
func (s *server) lines() []string {
	text, _ := os.ReadFile(s.logs[0])
	lines := strings.Split(string(text), "\n")
	return lines[:len(lines)-1]
}

// Results are all results since the start.
func (s *server) Results() []Result {
	var all []Result
	for _, line := range s.lines() {
		if r, ok := s.parse(line); ok {
			all = append(all, r)
		}
	}
	return all
}

// WaitResults waits for the next n results: those it has not returned before.
func (s *server) WaitResults(t testing.TB, n int, timeout time.Duration) []Result {
	t.Helper()
	var all []Result
	enough := wait(timeout, func() bool {
		all = s.Results()
		return len(all) >= s.taken+n
	})
	if !enough {
		t.Fatalf("%d results after %v, want %d: %+v", len(all)-s.taken, timeout, n, all[s.taken:])
	}
	next := all[s.taken : s.taken+n]
	s.taken += n
	return slices.Clone(next)
}

// Bounces counts the non-delivery reports the server has written. They follow
// the result "bounced", so a test that expects one asks with WaitBounces.
func (s *server) Bounces() int {
	n := 0
	for _, line := range s.lines() {
		if s.bounce(line) {
			n++
		}
	}
	return n
}

// WaitBounces waits for the n-th bounce since the start.
func (s *server) WaitBounces(t testing.TB, n int, timeout time.Duration) {
	t.Helper()
	if !wait(timeout, func() bool { return s.Bounces() >= n }) {
		t.Fatalf("%d bounces after %v, want %d", s.Bounces(), timeout, n)
	}
}

// wait asks again and again until yes or the timeout.
func wait(timeout time.Duration, yes func() bool) bool {
	for deadline := time.Now().Add(timeout); ; {
		if yes() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// run starts the daemon and waits for its greeting.
func (s *server) run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	out, err := os.Create(filepath.Join(s.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	s.logs = append(s.logs, out.Name())
	if s.process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	up := wait(startTimeout, func() bool {
		if !s.process.Running() {
			t.Fatalf("%s ended: %s", cmd.Path, s.Log())
		}
		c, err := dial(s.addr)
		if err != nil {
			return false
		}
		c.close()
		return true
	})
	if !up {
		t.Fatalf("%s does not answer: %s", cmd.Path, s.Log())
	}
}

func (s *server) stop(t testing.TB) {
	if t.Failed() {
		const most = 4000
		text := s.Log()
		t.Logf("mail log:\n%s", text[max(0, len(text)-most):])
	}
	if err := s.process.Stop(syscall.SIGTERM, stopTimeout); err != nil {
		t.Error(err)
	}
	child.Sweep(s.dir)
}

// freeAddr: the port is free now, and nobody else is told about it.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output runs a program of the mail server to its end.
func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	return string(text)
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// credential is that of a user by name.
func credential(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		needs.Missing(t, "the user "+name, "make it")
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(fmt.Errorf("user %s: %v %v", name, err1, err2))
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
