package pop3_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/internal/dovecottest"
	"mailrow/internal/scripttest"
	"mailrow/internal/shelltest"
	poll "mailrow/poller/pop3"
	"mailrow/shell/pop3"
)

func session(t testing.TB, addr string) *shelltest.Session {
	t.Helper()
	var conf poll.Config
	conf.Server, conf.Credentials = shelltest.At(t, addr)
	box := pop3.New(conf)
	if err := box.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return shelltest.New(t, box)
}

func mails(n int) (all [][]byte) {
	for i := range n {
		all = append(all, fmt.Appendf(nil, "From: Person %d <p%[1]d@x.test>\r\nSubject: mail %[1]d\r\n\r\nbody %[1]d\r\n.dot\r\n", i+1))
	}
	return all
}

func TestCommands(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(4)...)
	s := session(t, server.POP3)
	s.Do("capa", "UIDL\n", "TOP\n")
	s.Do("noop", "the server answers")
	s.Do("stat", "4 mails, ")
	s.Do("list", "UID  SIZE", "4    ")
	s.Do("uidl 2:3", "UNIQUE-ID")
	s.Do("fetch 2", "Person 2", "mail 2")
	s.Do("top 3", "Subject: mail 3")
	if out := s.Do("top 3 1", "body 3\n"); strings.Contains(out, "dot") {
		t.Error(out)
	}
	s.Do("show 3", "From: Person 3", "\nbody 3\n.dot\n")
	s.Do("retr 3", "\nbody 3\n.dot\n")
	dir := t.TempDir()
	s.Do("save 1:2 "+dir, "mail 2 is in")
	if got, err := os.ReadFile(filepath.Join(dir, "2.eml")); err != nil || !bytes.Equal(got, mails(2)[1]) {
		t.Errorf("%q, %v", got, err)
	}
	s.Do("raw STAT", "+OK 4 ")
	s.Do("raw LIST", "4 ")
	s.Do("raw UIDL 2", "+OK 2 ")
	s.Fail("raw NONSENSE", "-ERR")
	for _, line := range []string{"USER x", "pass hunter2", "APOP x y", "AUTH PLAIN x", "STLS", "DELE 1", "QUIT"} {
		s.Fail("raw "+line, "is not sent")
	}
	s.JSON = true
	s.Do("stat", `{"command":"stat","line":1,"ok":true,"result":{"mails":4,"size":`)
	s.Do("list 1", `"mails":[{"uid":1,"id":"`)
	s.JSON = false
	s.Fail("select INBOX", "POP3 has one mailbox and no folders")
	s.Fail("search ALL", "POP3 cannot search")
	s.Fail("list 9", "there is no mail 9")
	s.Fail("show 1:2", "name one")
	s.Fail("top 1 many", "no number of lines")

	s.Fail("dele 1", "remove 1 mail at the end of the session", "--yes")
	s.Yes = true
	s.Do("dele 1,3", "2 mails marked")
	s.Fail("show 1", "there is no mail 1")
	s.Do("rset", "2 mails no longer marked")
	s.Do("dele 3", "1 mail marked")
	s.Do("logout", "and removed 1 mail")
	s.Fail("list", "logged out: login logs in again")
	s.Do("login", "logged in")
	// Numbers stay what they were.
	if out := s.Do("fetch", "4    ", "mail 4"); strings.Contains(out, "mail 3") {
		t.Error(out)
	}
	s.Do("show 4", "body 4")
	if out, failed := s.End("dele 4", "quit"); failed || !strings.Contains(out, "removed 1 mail\n") {
		t.Error(out)
	}
	if left := server.Mails(t, dovecottest.User, "INBOX"); len(left) != 2 {
		t.Errorf("left: %d", len(left))
	}
}

// A script that fails removes nothing.
func TestNothingIsRemovedAfterAFailure(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	server.Append(t, dovecottest.User, "INBOX", mails(2)...)
	s := session(t, server.POP3)
	s.Yes = true
	if out, failed := s.End("dele 1", "show 9"); !failed || !strings.Contains(out, "nothing was removed: the mail that was marked is still there") {
		t.Error(out)
	}
	if left := server.Mails(t, dovecottest.User, "INBOX"); len(left) != 2 {
		t.Errorf("left: %d", len(left))
	}
}

// A lost connection takes the marks with it, which is said, and numbers are those of
// the same mails afterwards.
func TestConnectsAgain(t *testing.T) {
	const hello = "S: +OK hi\nC: = CAPA\nS: +OK\nS: UIDL\nS: USER\nS: .\nC: = USER\nS: +OK\nC: = PASS\nS: +OK\n"
	server := scripttest.Start(t, nil,
		hello+"C: = LIST\nS: +OK\nS: 1 10\nS: 2 20\nS: .\nC: = UIDL\nS: +OK\nS: 1 a\nS: 2 b\nS: .\nC: = DELE 2\nS: +OK\nC: = NOOP\nclose\n",
		hello+"C: = LIST\nS: +OK\nS: 1 20\nS: 2 30\nS: .\nC: = UIDL\nS: +OK\nS: 1 b\nS: 2 c\nS: .\nC: = DELE 1\nS: +OK\nC: = QUIT\nS: +OK\n")
	s := session(t, server.Addr())
	s.Yes = true
	s.Do("list", "1    10 B  a\n2    20 B  b\n")
	s.Do("dele 2")
	s.Fail("noop", "the connection is lost")
	s.Fail("list", "the mail that was marked is still there: dele marks them again")
	s.Do("list", "2    20 B  b\n3    30 B  c\n")
	if out, failed := s.End("dele 2"); failed || !strings.Contains(out, "removed 1 mail") {
		t.Error(out)
	}
}

func TestConnectsAgainWithoutIDs(t *testing.T) {
	const list = "S: +OK hi\nC: = CAPA\nS: -ERR\nC: = USER\nS: +OK\nC: = PASS\nS: +OK\nC: = LIST\nS: +OK\nS: 1 10\nS: .\nC: = UIDL\nS: -ERR\n"
	server := scripttest.Start(t, nil, list+"C: = NOOP\nclose\n", list+"silence\n")
	s := session(t, server.Addr())
	s.Do("list", "1    10 B\n")
	s.Fail("noop", "the connection is lost")
	s.Fail("list", "mails get other numbers: list them again")
	s.Fail("show 1", "there is no mail 1")
	s.Do("list", "2    10 B\n")
}

// A number is that of one mail as long as the session lasts, or of none.
func TestLogsInAgainWithoutIDs(t *testing.T) {
	const hello = "S: +OK hi\nC: = CAPA\nS: -ERR\nC: = USER\nS: +OK\nC: = PASS\nS: +OK\nC: = LIST\nS: +OK\nS: 1 10\nS: 2 20\n"
	server := scripttest.Start(t, nil,
		hello+"S: 3 30\nS: .\nC: = UIDL\nS: -ERR\nC: = DELE 1\nS: +OK\nC: = QUIT\nS: +OK\n",
		hello+"S: .\nC: = UIDL\nS: -ERR\nC: = QUIT\nS: +OK\n")
	s := session(t, server.Addr())
	s.Yes = true
	s.Do("list", "2    20 B\n")
	s.Do("dele 1")
	s.Do("logout", "removed 1 mail")
	s.Do("login")
	s.Fail("dele 2", "there is no mail 2")
	s.Do("list", "4    10 B\n5    20 B\n")
}

// A blank of Unicode is no command.
func TestRawOfNothing(t *testing.T) {
	server := dovecottest.Start(t, dovecottest.Config{})
	session(t, server.POP3).Fail("raw \u00a0", "write a command")
}
