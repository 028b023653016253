package mtatest

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/needs"
	"mailrow/internal/scratch"
)

// Exim says how the command is called.
type Exim struct {
	// Transport is the body of the transport for row.test, its driver included:
	// "driver = pipe\ncommand = …". Unless it says otherwise the command runs
	// as User.
	Transport string
	// User runs all of Exim; LocalUser unless set. Without root it is always
	// the user of the test.
	User string
	// Router adds to the router for row.test.
	Router string
	// ExtraMain, ExtraRouters (before all others) and ExtraTransports are
	// whole sections.
	ExtraMain, ExtraRouters, ExtraTransports string
}

// EximServer is a running Exim.
type EximServer struct {
	server
	bin  string
	user *syscall.Credential
}

// eximProgram is the unpacked copy of scripts/install-servers.
func eximProgram() string {
	return filepath.Join(cmp.Or(os.Getenv("MAILROW_EXIM_DIR"), "/opt/mailrow-exim"), "exim")
}

func needExim(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath(eximProgram()); err != nil {
		needs.Missing(t, "Exim", needs.Install)
	}
	if _, err := user.Lookup("Debian-exim"); err != nil {
		needs.Missing(t, "the user Debian-exim", needs.Install)
	}
}

// StartExim starts an Exim that is stopped after the test.
func StartExim(t testing.TB, e Exim) *EximServer {
	t.Helper()
	needExim(t)
	dir := scratch.ForTest(t)
	logs := filepath.Join(dir, "log")
	s := &EximServer{bin: eximProgram(), server: server{
		dir:    dir,
		addr:   freeAddr(t),
		logs:   []string{filepath.Join(logs, "mainlog"), filepath.Join(logs, "paniclog")},
		parse:  parseExim,
		bounce: eximBounce.MatchString,
	}}
	name := cmp.Or(e.User, LocalUser)
	if os.Getuid() == 0 {
		s.user = credential(t, name)
	} else {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		name = me.Username
	}
	for _, sub := range []string{filepath.Join(dir, "spool"), logs} {
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if s.user != nil {
			if err := os.Chown(sub, int(s.user.Uid), int(s.user.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, s.conf(), s.config(t, e, name))
	s.run(t, s.command("-bdf"))
	return s
}

func (s *EximServer) conf() string { return filepath.Join(s.dir, "exim.conf") }

func (s *EximServer) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.bin, append([]string{"-C", s.conf()}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	if s.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	}
	return cmd
}

// config: without the set-uid bit Exim runs as one user throughout, which
// deliver_drop_privilege tells it. There may be any number of sessions: Exim
// counts one until its process is gone, a moment after the client hung up.
const eximConfig = `
exim_path = %[1]s
exim_user = %[2]s
exim_group = %[3]s
deliver_drop_privilege
spool_directory = %[4]s/spool
log_file_path = %[4]s/log/%%slog
pid_file_path = %[4]s/spool/exim.pid
notifier_socket =
primary_hostname = exim.test
keep_environment =
tls_advertise_hosts =
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[5]s
never_users =
smtp_accept_max = 0
acl_smtp_rcpt = accept
%[6]s

begin routers
%[7]s
command:
  driver = accept
  domains = row.test
  transport = command
  %[8]s
elsewhere:
  driver = accept
  transport = discarded

begin transports
%[9]s
command:
  %[10]s
discarded:
  driver = appendfile
  file = /dev/null

begin retry
* * F,2d,1m
`

func (s *EximServer) config(t testing.TB, e Exim, userName string) string {
	t.Helper()
	u, err := user.Lookup(userName)
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(eximConfig, s.bin, userName, group.Name, s.dir, port,
		e.ExtraMain, e.ExtraRouters, e.Router, e.ExtraTransports, e.Transport)
}

// SendLocal submits a message and waits for its first delivery attempt.
func (s *EximServer) SendLocal(t testing.TB, from string, to []string, msg []byte) {
	t.Helper()
	cmd := s.command(append([]string{"-odf", "-i", "-f", cmp.Or(from, "<>"), "--"}, to...)...)
	cmd.Stdin = bytes.NewReader(msg)
	output(t, cmd)
}

// Flush tries all deferred mail again, frozen included, and waits for it.
func (s *EximServer) Flush(t testing.TB) {
	t.Helper()
	// The result is in the log before the message is unlocked, and a queue
	// runner passes over locked messages.
	if !wait(stopTimeout, func() bool { return !s.delivering() }) {
		t.Fatal("a delivery is still running")
	}
	output(t, s.command("-qff"))
}

// delivering looks for the lock a delivery process has on the message's data.
func (s *EximServer) delivering() bool {
	files, _ := filepath.Glob(filepath.Join(s.dir, "spool", "input", "*-D"))
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // delivered
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK}
		err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock)
		f.Close()
		if err != nil || lock.Type != syscall.F_UNLCK {
			return true
		}
	}
	return false
}

// Queue counts the messages that are not finished.
func (s *EximServer) Queue(t testing.TB) int {
	t.Helper()
	text := strings.TrimSpace(output(t, s.command("-bpc")))
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("exim -bpc: %q", text)
	}
	return n
}

// WaitQueue waits until n messages are in the queue: a message leaves it a
// moment after its last result.
func (s *EximServer) WaitQueue(t testing.TB, n int, timeout time.Duration) {
	t.Helper()
	if !wait(timeout, func() bool { return s.Queue(t) == n }) {
		t.Fatalf("%d messages in the queue, want %d", s.Queue(t), n)
	}
}

var (
	// A local delivery is logged as "local <address>", a pipe of an alias as
	// "|command <address>".
	eximResult = regexp.MustCompile(`^\S+ \S+ (\S+) (=>|->|==|\*\*) (.*?) R=(\S+)(?: T=\S+?)?(?:[: ] ?(.*))?$`)
	eximFrozen = regexp.MustCompile(`^\S+ \S+ (\S+) Frozen(.*)$`)
	// R= is the message a bounce is about; mail with an empty sender has none.
	eximBounce = regexp.MustCompile(`^\S+ \S+ \S+ <= <> R=`)
)

func parseExim(line string) (Result, bool) {
	if m := eximFrozen.FindStringSubmatch(line); m != nil {
		return Result{QueueID: m[1], Status: "frozen", Text: strings.TrimSpace(m[2])}, true
	}
	m := eximResult.FindStringSubmatch(line)
	if m == nil || m[4] == "elsewhere" {
		return Result{}, false
	}
	status := map[string]string{"=>": "sent", "->": "sent", "==": "deferred", "**": "bounced"}[m[2]]
	recipient := m[3]
	if open := strings.LastIndex(recipient, " <"); open >= 0 {
		recipient = strings.TrimSuffix(recipient[open+2:], ">")
	}
	return Result{QueueID: m[1], Recipient: recipient, Status: status, Text: m[5]}, true
}
