package exim_test

import (
	"cmp"
	"context"
	"fmt"
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

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/exim"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const resultTimeout = 20 * time.Second

// install configures the real mailrow-deliver for a fresh database.
func install(t *testing.T) (setup exim.Setup, conn *pgx.Conn) {
	t.Helper()
	dsn := deliverytest.Database(t)
	setup = exim.Setup{
		Deliver: deliverytest.Program(t),
		Config:  deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		User:    mtatest.LocalUser,
		Domains: []string{"setup.test", "other.test"},
	}
	return setup, archivetest.Connect(t, dsn)
}

func fragment(t *testing.T, s exim.Setup, way, section string) string {
	t.Helper()
	text, err := s.Fragment(way, section)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func start(t *testing.T, s exim.Setup, way string) *mtatest.EximServer {
	t.Helper()
	main := ""
	if slices.Contains(exim.Files(way), "main") {
		main = fragment(t, s, way, "main")
	}
	return mtatest.StartExim(t, mtatest.Exim{
		ExtraMain:       main,
		ExtraRouters:    fragment(t, s, way, "routers"),
		ExtraTransports: fragment(t, s, way, "transports"),
		Transport:       "driver = appendfile\nfile = /dev/null",
	})
}

func results(t *testing.T, server *mtatest.EximServer, n int, want string) {
	t.Helper()
	for _, r := range server.WaitResults(t, n, resultTimeout) {
		if r.Status != want {
			t.Errorf("%s: %s (%s), want %s", r.Recipient, r.Status, r.Text, want)
		}
	}
}

func only(t *testing.T, conn *pgx.Conn, account string) archive.Mail {
	t.Helper()
	list, err := archive.List(context.Background(), conn, archive.Filter{Account: account})
	if err != nil || len(list) != 1 {
		t.Fatalf("%s has %d mails (%v), want 1", account, len(list), err)
	}
	return list[0]
}

// envelope is what the fragments must carry from Exim to the row.
type envelope struct {
	Sender, Recipient, Address, Helo, Name, Protocol, Source string
}

func envelopeOf(m archive.Mail) envelope {
	text := func(s *string) string {
		if s == nil {
			return "NULL"
		}
		return *s
	}
	return envelope{text(m.Sender), m.Recipient, text(m.ClientAddress), text(m.ClientHelo),
		text(m.ClientName), text(m.ClientProtocol), m.Source}
}

const mail = "Subject: through the fragments\nFrom: <from@example.net>\n\n.dot\nFrom here\n"

func TestPipe(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	server := start(t, s, "pipe")
	server.Send(t, "", []string{"Bob+Lists@setup.test", `"a b"@other.test`}, []byte(mail))
	results(t, server, 2, "sent")
	bob := only(t, conn, "bob@setup.test")
	want := envelope{"", "Bob+Lists@setup.test", "127.0.0.1", "helo.test", "NULL", "esmtp", "exim-pipe"}
	if diff := gocmp.Diff(want, envelopeOf(bob)); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if r := only(t, conn, `"a b"@other.test`).Recipient; r != `"a b"@other.test` {
		t.Errorf("recipient %q", r)
	}
	if bob.QueueID == nil || !strings.Contains(server.Log(), *bob.QueueID+" <= <>") {
		t.Errorf("queue id %v is not in the log", bob.QueueID)
	}
	var raw strings.Builder
	if err := archive.WriteRaw(context.Background(), conn, bob.ID, &raw); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(raw.String(), "Return-path: <>\nEnvelope-to: Bob+Lists@setup.test\n") ||
		!strings.HasSuffix(raw.String(), "\n\n.dot\nFrom here\n") {
		t.Errorf("bytes %q", raw.String())
	}
}

func TestBSMTP(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	server := start(t, s, "bsmtp")
	server.Send(t, "s@example.net", []string{"Bob+Lists@setup.test", "carol@setup.test", `"a b"@setup.test`}, []byte(mail))
	results(t, server, 3, "sent")
	want := envelope{"s@example.net", "Bob+Lists@setup.test", "127.0.0.1", "helo.test", "NULL", "esmtp", "bsmtp"}
	if diff := gocmp.Diff(want, envelopeOf(only(t, conn, "bob@setup.test"))); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	carol := only(t, conn, "carol@setup.test")
	only(t, conn, `"a b"@setup.test`)
	var raw strings.Builder
	if err := archive.WriteRaw(context.Background(), conn, carol.ID, &raw); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(raw.String(), "Received: ") || !strings.HasSuffix(raw.String(), "\n\n.dot\nFrom here\n") {
		t.Errorf("bytes %q", raw.String())
	}
}

func TestLMTP(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	s.Socket = deliverytest.StartDaemon(t, s.Config).Socket
	server := start(t, s, "lmtp")
	server.Send(t, "", []string{"Bob+Lists@setup.test", `"a b"@other.test`}, []byte(mail))
	results(t, server, 2, "sent")
	bob := only(t, conn, "bob@setup.test")
	// Exim says nothing of its client; the mail's own trace does.
	want := envelope{"", "Bob+Lists@setup.test", "NULL", "helo.test", "NULL", "NULL", "lmtp"}
	if diff := gocmp.Diff(want, envelopeOf(bob)); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if bob.QueueID == nil || !strings.Contains(server.Log(), *bob.QueueID+" <= <>") {
		t.Errorf("queue id %v is not in the log", bob.QueueID)
	}
	only(t, conn, `"a b"@other.test`)
	var raw strings.Builder
	if err := archive.WriteRaw(context.Background(), conn, bob.ID, &raw); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(raw.String(), "\r\n\r\n.dot\r\nFrom here\r\n") {
		t.Errorf("bytes %q", raw.String())
	}
}

// With a command instead of a socket, mailrow lmtp serves one delivery and ends.
func TestLMTPCommand(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	server := mtatest.StartExim(t, mtatest.Exim{
		ExtraRouters:    fragment(t, s, "lmtp", "routers"),
		ExtraTransports: "mailrow:\n  driver = lmtp\n  command = " + deliverytest.Mailrow(t) + " --config=" + s.Config + " lmtp --stdio\n  batch_max = 100\n",
		Transport:       "driver = appendfile\nfile = /dev/null",
	})
	server.Send(t, "", []string{"bob@setup.test", "carol@setup.test"}, []byte(mail))
	results(t, server, 2, "sent")
	only(t, conn, "bob@setup.test")
	only(t, conn, "carol@setup.test")
}

// private is an Exim without a daemon whose whole configuration, retry rules
// included, is the fragments and a few paths.
type private struct {
	dir, conf string
	user      *syscall.Credential
}

func newPrivate(t *testing.T, s exim.Setup, way string) *private {
	t.Helper()
	p := &private{dir: scratch.ForTest(t)}
	p.conf = filepath.Join(p.dir, "exim.conf")
	account, err := user.Current()
	if os.Getuid() == 0 {
		account, err = user.Lookup(mtatest.LocalUser)
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	if os.Getuid() == 0 {
		p.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if err := os.Chown(p.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s.User = account.Username
	var b strings.Builder
	fmt.Fprintf(&b, "exim_path = %s\nexim_user = %s\nexim_group = %s\ndeliver_drop_privilege\nspool_directory = %s/spool\n"+
		"log_file_path = %[4]s/%%slog\nprimary_hostname = exim.test\nkeep_environment =\nnotifier_socket =\nnever_users =\nacl_smtp_rcpt = accept\n",
		program(), account.Uid, account.Gid, p.dir)
	for _, section := range exim.Files(way) {
		if section != "main" {
			b.WriteString("begin " + section + "\n")
		}
		b.WriteString(fragment(t, s, way, section))
	}
	if err := os.WriteFile(p.conf, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func program() string {
	return filepath.Join(cmp.Or(os.Getenv("MAILROW_EXIM_DIR"), "/opt/mailrow-exim"), "exim")
}

func (p *private) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program(), append([]string{"-C", p.conf}, args...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(stdin)
	if p.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func (p *private) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "mainlog"))
	return string(text)
}

func TestFragmentsMakeAConfiguration(t *testing.T) {
	mtatest.Need(t)
	for _, way := range exim.Ways() {
		s := exim.Setup{Deliver: "/usr/local/bin/mailrow-deliver", Config: "/etc/mailrow.toml", Domains: []string{"a.test", "b.test"}, User: "x"}
		p := newPrivate(t, s, way)
		if out := p.run(t, "", "-bV"); !strings.Contains(out, "Configuration file is "+p.conf) {
			t.Errorf("%s: %s", way, out)
		}
		if out := p.run(t, "", "-bt", "who+ever@b.test"); !strings.Contains(out, "router = mailrow, transport = mailrow") {
			t.Errorf("%s: %s", way, out)
		}
	}
}

// A HELO may hold the colons that separate Exim's lists, and a client's address
// does when it is IPv6.
func TestClientWithSeparators(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	p := newPrivate(t, s, "pipe")
	p.run(t, mail, "-odf", "-i", "-f", "s@example.net", "local@setup.test")
	want := envelope{"s@example.net", "local@setup.test", "NULL", "NULL", "NULL", "local", "exim-pipe"}
	if diff := gocmp.Diff(want, envelopeOf(only(t, conn, "local@setup.test"))); diff != "" {
		t.Errorf("local submission (-want +got):\n%s", diff)
	}

	p.run(t, "EHLO [IPv6:2001:db8::7]\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<client@setup.test>\r\nDATA\r\n"+
		mail+".\r\nQUIT\r\n",
		"-odf", "-bs", "-oMa", "2001:db8::7", "-oMs", "client.example.net", "-oMai", "who:ever")
	want = envelope{"s@example.net", "client@setup.test", "2001:db8::7", "[IPv6:2001:db8::7]", "client.example.net", "esmtp", "exim-pipe"}
	m := only(t, conn, "client@setup.test")
	if diff := gocmp.Diff(want, envelopeOf(m)); diff != "" {
		t.Errorf("client (-want +got):\n%s\n%s", diff, p.log())
	}
	if m.SASLUsername == nil || *m.SASLUsername != "who:ever" {
		t.Errorf("sasl_username %v", m.SASLUsername)
	}
}

func TestOutcomes(t *testing.T) {
	mtatest.Need(t)
	tests := []struct {
		name, script, want string
	}{
		{"unknown recipient", "exit 67", "bounced"},
		{"too large", "exit 69", "bounced"},
		{"try again", "exit 75", "deferred"},
		{"Go panic", "exit 2", "deferred"},
		{"usage", "exit 64", "deferred"},
		{"last", "exit 255", "deferred"},
		{"output with 75", "echo 5.1.1 text; exit 75", "deferred"},
		{"output with 0", "echo text", "sent"},
		{"killed", "kill -9 $$", "deferred, frozen"},
		{"missing", "", "deferred"},
	}
	dir := scratch.ForTest(t)
	s := exim.Setup{Deliver: filepath.Join(dir, "mailrow-deliver"), Domains: []string{"setup.test"}, User: "x"}
	p := newPrivate(t, s, "pipe")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			os.Remove(s.Deliver)
			if test.script != "" {
				if err := os.WriteFile(s.Deliver, []byte("#!/bin/sh\ncat >/dev/null\n"+test.script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			before := len(p.log())
			p.run(t, mail, "-odf", "-i", "-f", "s@example.net", "bob@setup.test")
			if got := outcome(p.log()[before:]); got != test.want {
				t.Errorf("got %s, want %s\n%s", got, test.want, p.log()[before:])
			}
		})
	}
}

// outcome reads what happened to the only recipient of a mail.
func outcome(log string) string {
	var all []string
	for _, event := range []struct{ mark, name string }{
		{" => bob", "sent"}, {" ** bob", "bounced"}, {" == bob", "deferred"}, {" Frozen\n", "frozen"},
	} {
		if strings.Contains(log, event.mark) {
			all = append(all, event.name)
		}
	}
	return strings.Join(all, ", ")
}
