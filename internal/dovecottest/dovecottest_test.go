package dovecottest_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
)

const mail = "From: a@b.test\r\nSubject: one\r\n\r\nText.\r\n"

func TestMailsAreThoseAppended(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Users: []string{"u2@test.local"}})
	s.Append(t, "u2@test.local", "INBOX", []byte(mail), []byte("Subject: two\r\n\r\n"))
	s.Doveadm(t, []byte("Subject: three\r\n\r\n"), "save", "-u", "u2@test.local", "-m", "INBOX")
	mails := s.Mails(t, "u2@test.local", "INBOX")
	if len(mails) != 3 || mails[0].UID != 1 || string(mails[0].Raw) != mail || string(mails[2].Raw) != "Subject: three\r\n\r\n" {
		t.Errorf("mails %+v", mails)
	}
	if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) != 0 {
		t.Errorf("another user has %d mails", len(left))
	}
}

// talk sends lines and gives the answer to the last one.
func talk(t *testing.T, conn net.Conn, lines ...string) string {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	answer, err := r.ReadString('\n')
	for _, line := range lines {
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.WriteString(conn, line+"\r\n"); err == nil {
			answer, err = r.ReadString('\n')
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPortsAnswer(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	verified := &tls.Config{RootCAs: s.Authority.Pool(), ServerName: "localhost"}
	for _, test := range []struct {
		name, addr string
		tls        *tls.Config
		greeting   string
	}{
		{"imap", s.IMAP, nil, "* OK "},
		{"imaps", s.IMAPS, verified, "* OK "},
		{"pop3", s.POP3, nil, "+OK "},
		{"pop3s", s.POP3S, verified, "+OK "},
	} {
		conn, err := net.Dial("tcp", test.addr)
		if err != nil {
			t.Fatal(err)
		}
		if test.tls != nil {
			conn = tls.Client(conn, test.tls)
		}
		if got := talk(t, conn); !strings.HasPrefix(got, test.greeting) {
			t.Errorf("%s: greeting %q", test.name, got)
		}
	}
	conn, err := net.Dial("unix", s.LMTP)
	if err != nil {
		t.Fatal(err)
	}
	if got := talk(t, conn); !strings.HasPrefix(got, "220 ") {
		t.Errorf("lmtp: greeting %q", got)
	}
}

func TestTokens(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	for name, test := range map[string]struct {
		token string
		want  string
	}{
		"valid":   {s.Token(t, dovecottest.User, time.Hour), "a OK "},
		"expired": {s.Token(t, dovecottest.User, -time.Minute), "+ "},
		"changed": {s.Token(t, dovecottest.User, time.Hour) + "A", "+ "},
	} {
		conn, err := net.Dial("tcp", s.IMAP)
		if err != nil {
			t.Fatal(err)
		}
		response := fmt.Sprintf("user=%s\x01auth=Bearer %s\x01\x01", dovecottest.User, test.token)
		got := talk(t, conn, "a AUTHENTICATE XOAUTH2 "+base64.StdEncoding.EncodeToString([]byte(response)))
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestCommandIsLoggedIn(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	command := s.Command(dovecottest.User)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader("a EXAMINE INBOX\r\nb LOGOUT\r\n")
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "* PREAUTH ") || !strings.Contains(string(out), "a OK ") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestAnnouncementOfLess(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Capability: "IMAP4rev1"})
	got := s.Session(t, dovecottest.User).Do("CAPABILITY")
	if len(got) != 1 || got[0] != "* CAPABILITY IMAP4rev1" {
		t.Errorf("%q", got)
	}
}
