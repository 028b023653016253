// Package dovecottest runs a private Dovecot for tests: IMAP, POP3 and LMTP on
// the loopback interface, in clear, with STARTTLS and with TLS, passwords, and
// OAuth2 tokens that it checks itself.
package dovecottest

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/child"
	"mailrow/internal/needs"
	"mailrow/internal/scratch"
	"mailrow/internal/tlstest"
)

const (
	// User has a mailbox on every server, and more may be asked for.
	User = "u1@test.local"
	// Password is that of every user.
	Password = `se"cr\et`

	program      = "/usr/sbin/dovecot"
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
)

// Config says how a server differs from the usual one.
type Config struct {
	Users []string // besides User
	// Mail is the form of the mailboxes, "maildir:~/Maildir" unless set.
	Mail string
	// Capability replaces what IMAP announces, to imitate servers that have less:
	// "IMAP4rev1" has neither UIDPLUS nor MOVE, IDLE nor CONDSTORE.
	Capability string
	// Extra is added at the end of dovecot.conf, where it overrides. DIR in it is
	// the server's folder.
	Extra string
}

// Server is a running Dovecot.
type Server struct {
	// Authority signed its certificate, which is valid for 127.0.0.1 and localhost.
	Authority *tlstest.Authority
	// Addresses, host:port. IMAP and POP3 are in clear and offer STARTTLS.
	IMAP, IMAPS, POP3, POP3S string
	// LMTP is the path of a Unix socket.
	LMTP string

	dir     string
	key     []byte
	process *child.Process
}

// Need ends the test when Dovecot is missing, or root, which its master needs.
func Need(t testing.TB) {
	t.Helper()
	for _, name := range []string{program, "/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3", "/usr/lib/dovecot/lmtp"} {
		if _, err := exec.LookPath(name); err != nil {
			needs.Missing(t, "Dovecot ("+name+")", needs.Install)
		}
	}
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to start Dovecot", needs.Root)
	}
}

// Start starts a server that is stopped after the test.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	Need(t)
	dir := scratch.ForTest(t)
	ports := freePorts(t, 4)
	s := &Server{
		Authority: tlstest.New(t),
		IMAP:      addr(ports[0]),
		IMAPS:     addr(ports[1]),
		POP3:      addr(ports[2]),
		POP3S:     addr(ports[3]),
		LMTP:      filepath.Join(dir, "base", "lmtp"),
		dir:       dir,
	}
	s.configure(t, c, ports)
	s.run(t)
	return s
}

func (s *Server) configure(t testing.TB, c Config, ports []int) {
	t.Helper()
	mailUser, err := user.Lookup("mail")
	if err != nil {
		needs.Missing(t, "the user mail", "make it")
	}
	ids := mailUser.Uid + ":" + mailUser.Gid
	for _, sub := range []string{"mail", "tls"} {
		mkdir(t, s.path(sub))
	}
	chown(t, s.path("mail"), mailUser)
	tlstest.Write(t, s.path("tls"), "server", s.Authority.Issue(t, "localhost", "127.0.0.1"))
	s.Authority.WriteCA(t, s.path("tls"))
	s.makeKey(t)

	var users strings.Builder
	for _, name := range append([]string{User}, c.Users...) {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:%s::%s::\n", name, Password, ids, s.path("mail/"+name))
	}
	write(t, s.path("users"), users.String())
	write(t, s.path("dovecot.log"), "")
	// Processes of several users write it.
	if err := os.Chmod(s.path("dovecot.log"), 0o666); err != nil {
		t.Fatal(err)
	}
	capability := ""
	if c.Capability != "" {
		capability = "imap_capability = " + c.Capability
	}
	write(t, s.conf(), fmt.Sprintf(config, s.dir, cmp.Or(c.Mail, "maildir:~/Maildir"), capability,
		ports[0], ports[1], ports[2], ports[3], mailUser.Uid, mailUser.Gid)+strings.ReplaceAll(c.Extra, "DIR", s.dir))
}

// The tokens stand before the passwords: Dovecot asks in this order.
const config = `
base_dir = %[1]s/base
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
instance_name = %[1]s
listen = 127.0.0.1
protocols = imap pop3 lmtp
hostname = localhost
first_valid_uid = %[8]s
first_valid_gid = %[9]s
mail_uid = %[8]s
mail_gid = %[9]s
mail_location = %[2]s
mail_max_userip_connections = 1000
mail_fsync = never
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 apop xoauth2 oauthbearer
auth_cache_size = 0
auth_failure_delay = 0
auth_username_chars =
auth_verbose = yes
ssl = yes
ssl_cert = <%[1]s/tls/server.pem
ssl_key = <%[1]s/tls/server.key
%[3]s
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = %[1]s/oauth2/oauth2.conf.ext
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  inet_listener imap {
    port = %[4]d
  }
  inet_listener imaps {
    port = %[5]d
    ssl = yes
  }
  service_count = 0
  client_limit = 1000
}
service pop3-login {
  inet_listener pop3 {
    port = %[6]d
  }
  inet_listener pop3s {
    port = %[7]d
    ssl = yes
  }
  service_count = 0
  client_limit = 1000
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap {
  process_limit = 1024
}
service pop3 {
  process_limit = 1024
}
`

func (s *Server) run(t testing.TB) {
	t.Helper()
	out, err := os.Create(s.path("output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, "-F", "-c", s.conf())
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = out, out
	if s.process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	for _, at := range []string{s.IMAP, s.IMAPS, s.POP3, s.POP3S} {
		s.waitUp(t, at)
	}
}

func (s *Server) waitUp(t testing.TB, at string) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); ; {
		if conn, err := net.Dial("tcp", at); err == nil {
			conn.Close()
			return
		}
		if !s.process.Running() || time.Now().After(deadline) {
			t.Fatalf("Dovecot does not listen on %s:\n%s", at, s.Log())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *Server) stop(t testing.TB) {
	if t.Failed() {
		const most = 4000
		text := s.Log()
		t.Logf("Dovecot log:\n%s", text[max(0, len(text)-most):])
	}
	if err := s.process.Stop(syscall.SIGTERM, stopTimeout); err != nil {
		t.Error(err)
	}
	child.Sweep(s.dir)
}

// CA is the file that has the authority's certificate.
func (s *Server) CA() string { return s.path("tls/ca.pem") }

// Certificate is the server's own.
func (s *Server) Certificate(t testing.TB) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(s.path("tls/server.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no certificate: %q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Command runs IMAP for a user, already logged in, on standard input and output:
// what "ssh host imapd" is.
func (s *Server) Command(user string) []string {
	return []string{"/usr/bin/env", "CONFIG_FILE=" + s.conf(), "/usr/lib/dovecot/imap", "-u", user}
}

// Kick ends all sessions of a user.
func (s *Server) Kick(t testing.TB, user string) {
	t.Helper()
	s.Doveadm(t, nil, "kick", user)
}

// Doveadm runs doveadm(1) to its end and gives its output.
func (s *Server) Doveadm(t testing.TB, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("doveadm", append([]string{"-c", s.conf()}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, &stderr)
	}
	return string(out)
}

// Pid is the process of Dovecot's master.
func (s *Server) Pid() int { return s.process.Pid() }

// Home is the folder of a user, with the Maildir.
func (s *Server) Home(user string) string { return s.path("mail/" + user) }

// Config is the path of the server's configuration, for its other programs.
func (s *Server) Config() string { return s.conf() }

// Log is all that Dovecot has written.
func (s *Server) Log() string {
	var all []byte
	for _, name := range []string{"output", "dovecot.log"} {
		text, _ := os.ReadFile(s.path(name)) // it may not have come so far
		all = append(all, text...)
	}
	return string(all)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) conf() string { return s.path("dovecot.conf") }

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePorts are free now, and nobody else is told about them.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func mkdir(t testing.TB, name string) {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
