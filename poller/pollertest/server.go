package pollertest

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"testing"

	"mailrow/internal/dovecottest"
	"mailrow/poller/dial"
)

// Inbox is INBOX of the user of a server, for a kind with CRLF. Its URI leaves out the
// port, which is not at the end of one.
func Inbox(s *dovecottest.Server, scheme string) Box { return inbox{s, scheme} }

type inbox struct {
	s      *dovecottest.Server
	scheme string
}

func (b inbox) URI() string {
	return (&url.URL{Scheme: b.scheme, User: url.User(dovecottest.User), Host: "127.0.0.1"}).String()
}

func (b inbox) Add(t testing.TB, mails ...[]byte) {
	t.Helper()
	var sent [][]byte
	for _, mail := range mails {
		sent = append(sent, bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")))
	}
	b.s.Append(t, dovecottest.User, "INBOX", sent...)
}

func (b inbox) Remove(t testing.TB, mail []byte) {
	t.Helper()
	for _, m := range b.s.Mails(t, dovecottest.User, "INBOX") {
		if bytes.Equal(bytes.ReplaceAll(m.Raw, []byte("\r\n"), []byte("\n")), mail) {
			x := b.s.Session(t, dovecottest.User)
			x.Do("SELECT INBOX")
			x.Do(fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Deleted)`, m.UID))
			x.Do(fmt.Sprintf("UID EXPUNGE %d", m.UID))
			return
		}
	}
	t.Fatalf("no mail to remove: %q", mail)
}

func (b inbox) Mails(t testing.TB) (all [][]byte) {
	t.Helper()
	for _, m := range b.s.Mails(t, dovecottest.User, "INBOX") {
		all = append(all, m.Raw)
	}
	return all
}

// Server is the one at an address, in clear.
func Server(t testing.TB, addr string) dial.Server {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return dial.Server{Host: host, Port: n, Security: dial.Clear}
}
