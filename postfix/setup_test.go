package postfix_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/internal/pgtest"
	"mailrow/postfix"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const resultTimeout = 20 * time.Second

// install configures the real mailrow-deliver for a fresh database.
func install(t *testing.T) (setup postfix.Setup, conn *pgx.Conn) {
	t.Helper()
	dsn := deliverytest.Database(t)
	setup = postfix.Setup{
		Deliver: deliverytest.Program(t),
		Config:  deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		User:    mtatest.LocalUser,
		Domains: []string{"setup.test", "other.test"},
	}
	return setup, archivetest.Connect(t, dsn)
}

func fragment(t *testing.T, s postfix.Setup, way, file string) string {
	t.Helper()
	text, err := s.Fragment(way, file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// start runs a Postfix with the fragments of a way. It fails on any warning
// that "postfix check" or the daemons have about them.
func start(t *testing.T, s postfix.Setup, p mtatest.Postfix) *mtatest.PostfixServer {
	t.Helper()
	server := mtatest.StartPostfix(t, p)
	t.Cleanup(func() {
		for line := range strings.Lines(server.Log()) {
			if strings.Contains(line, "warning:") || strings.Contains(line, "fatal:") {
				t.Errorf("Postfix: %s", line)
			}
		}
	})
	return server
}

func sent(t *testing.T, server *mtatest.PostfixServer, n int) {
	t.Helper()
	for _, r := range server.WaitResults(t, n, resultTimeout) {
		if r.Status != "sent" {
			t.Errorf("%s: %s %s (%s)", r.Recipient, r.Status, r.DSN, r.Text)
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

// envelope is what the fragments must carry from Postfix to the row.
type envelope struct {
	Sender, Recipient, Original, Extension string
	Address, Helo, Name, Protocol, Source  string
}

func envelopeOf(m archive.Mail) envelope {
	text := func(s *string) string {
		if s == nil {
			return "NULL"
		}
		return *s
	}
	return envelope{text(m.Sender), m.Recipient, text(m.OriginalRecipient), text(m.Extension),
		text(m.ClientAddress), text(m.ClientHelo), text(m.ClientName), text(m.ClientProtocol), m.Source}
}

const mail = "Subject: through the fragments\r\nFrom: <from@example.net>\r\n\r\n.dot\r\nFrom here\r\n"

func TestTransport(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	server := start(t, s, mtatest.Postfix{
		ExtraMain:   fragment(t, s, "transport", "main.cf"),
		ExtraMaster: fragment(t, s, "transport", "master.cf"),
	})
	server.Send(t, "", []string{"Bob+Lists@setup.test", `"a b"@other.test`}, []byte(mail))
	sent(t, server, 2)
	bob := only(t, conn, "bob@setup.test")
	want := envelope{"", "Bob+Lists@setup.test", "Bob+Lists@setup.test", "Lists",
		"127.0.0.1", "helo.test", "localhost", "ESMTP", "postfix-pipe"}
	if diff := cmp.Diff(want, envelopeOf(bob)); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if bob.QueueID == nil || !strings.Contains(server.Log(), ": "+*bob.QueueID+": from=<>") {
		t.Errorf("queue id %v is not in the log", bob.QueueID)
	}
	if r := only(t, conn, `"a b"@other.test`).Recipient; r != `"a b"@other.test` {
		t.Errorf("recipient %q", r)
	}

	// Submitted on the machine: no client.
	server.SendLocal(t, "s@example.net", []string{"local@setup.test"}, []byte(strings.ReplaceAll(mail, "\r", "")))
	sent(t, server, 1)
	m := only(t, conn, "local@setup.test")
	if m.Sender == nil || *m.Sender != "s@example.net" || m.SASLUsername != nil {
		t.Errorf("got %+v", envelopeOf(m))
	}
	var raw strings.Builder
	if err := archive.WriteRaw(context.Background(), conn, m.ID, &raw); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(raw.String(), "Received: ") || !strings.HasSuffix(raw.String(), "\n\n.dot\nFrom here\n") {
		t.Errorf("bytes %q", raw.String())
	}
}

func TestMailboxCommand(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	// mtatest has the parameter in its own main.cf, and Postfix warns of a second.
	_, command, _ := strings.Cut(fragment(t, s, "mailbox_command", "main.cf"), "\nmailbox_command = ")
	server := start(t, s, mtatest.Postfix{MailboxCommand: strings.TrimSpace(command)})
	to := mtatest.LocalUser + "+ext@" + mtatest.LocalDomain
	server.Send(t, "s@example.net", []string{to}, []byte(mail))
	sent(t, server, 1)
	got := envelopeOf(only(t, conn, mtatest.LocalUser+"@"+mtatest.LocalDomain))
	want := envelope{"s@example.net", to, to, "ext", "127.0.0.1", "helo.test", "localhost", "ESMTP", "postfix-local"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
}

func TestAlias(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	aliases := map[string]string{}
	for line := range strings.Lines(fragment(t, s, "alias", "aliases")) {
		if name, value, found := strings.Cut(line, ": "); found && !strings.HasPrefix(line, "#") {
			aliases[name] = strings.TrimSpace(value)
		}
	}
	server := start(t, s, mtatest.Postfix{Aliases: aliases})
	server.Send(t, "s@example.net", []string{"archive@" + mtatest.LocalDomain}, []byte(mail))
	sent(t, server, 1)
	only(t, conn, "archive@"+mtatest.LocalDomain)
}

func TestLMTP(t *testing.T) {
	mtatest.Need(t)
	s, conn := install(t)
	s.Socket = deliverytest.StartDaemon(t, s.Config).Socket
	server := start(t, s, mtatest.Postfix{ExtraMain: fragment(t, s, "lmtp", "main.cf")})
	server.Send(t, "", []string{"Bob+Lists@setup.test", `"a b"@other.test`}, []byte(mail))
	sent(t, server, 2)
	bob := only(t, conn, "bob@setup.test")
	want := envelope{"", "Bob+Lists@setup.test", "Bob+Lists@setup.test", "Lists",
		"127.0.0.1", "helo.test", "localhost", "ESMTP", "lmtp"}
	if diff := cmp.Diff(want, envelopeOf(bob)); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if bob.QueueID == nil || !strings.Contains(server.Log(), ": "+*bob.QueueID+": from=<>") {
		t.Errorf("queue id %v is not in the log", bob.QueueID)
	}
	if r := only(t, conn, `"a b"@other.test`).Recipient; r != `"a b"@other.test` {
		t.Errorf("recipient %q", r)
	}
	var raw strings.Builder
	if err := archive.WriteRaw(context.Background(), conn, bob.ID, &raw); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(raw.String(), "Received: ") || !strings.HasSuffix(raw.String(), "\r\n\r\n.dot\r\nFrom here\r\n") {
		t.Errorf("bytes %q", raw.String())
	}
}

func TestSetupRefusesWhatWouldNeedAShell(t *testing.T) {
	good := postfix.Setup{Deliver: "/usr/bin/mailrow-deliver", Socket: "/run/lmtp", User: "mailrow", Domains: []string{"example.org"}}
	tests := map[string]func(*postfix.Setup){
		"relative path":     func(s *postfix.Setup) { s.Deliver = "mailrow-deliver" },
		"blank in path":     func(s *postfix.Setup) { s.Deliver = "/opt/my mail/mailrow-deliver" },
		"quote in path":     func(s *postfix.Setup) { s.Deliver = `/opt/"/mailrow-deliver` },
		"dollar in socket":  func(s *postfix.Setup) { s.Socket = "/run/$x" },
		"dollar in config":  func(s *postfix.Setup) { s.Config = "/etc/$x" },
		"user root":         func(s *postfix.Setup) { s.User = "root" },
		"line in a domain":  func(s *postfix.Setup) { s.Domains = []string{"a\nmynetworks=0/0"} },
		"blank in a domain": func(s *postfix.Setup) { s.Domains = []string{"a b"} },
	}
	for name, spoil := range tests {
		s := good
		spoil(&s)
		for _, way := range postfix.Ways() {
			if text, err := s.Fragment(way, postfix.Files(way)[0]); err == nil {
				t.Errorf("%s, %s: got %q, want an error", name, way, text)
			}
		}
	}
	for _, way := range postfix.Ways() {
		for _, file := range postfix.Files(way) {
			if _, err := good.Fragment(way, file); err != nil {
				t.Errorf("%s %s: %v", way, file, err)
			}
		}
	}
}
