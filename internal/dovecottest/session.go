package dovecottest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Session is a plain IMAP session, for what the test prepares and for what it
// compares with: it shares no code with what is tested.
type Session struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	n    int
}

// Session logs a user in. It ends with the test.
func (s *Server) Session(t testing.TB, user string) *Session {
	t.Helper()
	conn, err := net.Dial("tcp", s.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	x := &Session{t: t, conn: conn, r: bufio.NewReader(conn)}
	x.response()
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(Password)
	x.Do(fmt.Sprintf(`LOGIN %s "%s"`, user, quoted))
	return x
}

// Do sends a command, without its tag, and gives the untagged responses, with
// literals as they came. Anything but OK ends the test.
func (x *Session) Do(command string) []string {
	x.t.Helper()
	responses, end := x.Try(command)
	if !strings.HasPrefix(end, "OK") {
		x.t.Fatalf("%.80s: %s", command, end)
	}
	return responses
}

// Try is Do with the completion, whatever it is: "NO [TRYCREATE] …".
func (x *Session) Try(command string) (responses []string, completion string) {
	x.t.Helper()
	x.n++
	tag := fmt.Sprintf("t%d ", x.n)
	if err := x.conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		x.t.Fatal(err)
	}
	if _, err := io.WriteString(x.conn, tag+command+"\r\n"); err != nil {
		x.t.Fatal(err)
	}
	for {
		r := x.response()
		if end, ok := strings.CutPrefix(r, tag); ok {
			return responses, end
		}
		responses = append(responses, r)
	}
}

var literal = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// response reads one response, without its line end.
func (x *Session) response() string {
	x.t.Helper()
	var all []byte
	for {
		line, err := x.r.ReadBytes('\n')
		if err != nil {
			x.t.Fatalf("read from Dovecot: %v after %q", err, line)
		}
		all = append(all, line...)
		m := literal.FindSubmatch(line)
		if m == nil {
			return string(bytes.TrimSuffix(all, []byte("\r\n")))
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			x.t.Fatal(err)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(x.r, text); err != nil {
			x.t.Fatal(err)
		}
		all = append(all, text...)
	}
}

// Append puts mails into a folder, named as on the wire. A command may hold many
// (MULTIAPPEND, RFC 3502) and does not wait (LITERAL+, RFC 7888).
func (x *Session) Append(folder string, mails ...[]byte) {
	x.t.Helper()
	const together = 500
	for len(mails) > 0 {
		n := min(together, len(mails))
		var b strings.Builder
		fmt.Fprintf(&b, "APPEND %q", folder)
		for _, mail := range mails[:n] {
			fmt.Fprintf(&b, " {%d+}\r\n%s", len(mail), mail)
		}
		x.Do(b.String())
		mails = mails[n:]
	}
}

// Append puts mails into a folder of a user.
func (s *Server) Append(t testing.TB, user, folder string, mails ...[]byte) {
	t.Helper()
	x := s.Session(t, user)
	x.Append(folder, mails...)
	x.conn.Close()
}

// Mail is a mail as Dovecot gives it.
type Mail struct {
	UID   uint32
	Flags string // as on the wire, without \Recent
	Raw   []byte
}

var fetched = regexp.MustCompile(`^\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) BODY\[\] (?:\{\d+\}\r\n|"|NIL)`)

// Mails gives the mails of a folder, named as on the wire, by their UIDs.
func (s *Server) Mails(t testing.TB, user, folder string) []Mail {
	t.Helper()
	x := s.Session(t, user)
	defer x.conn.Close()
	x.Do(fmt.Sprintf("EXAMINE %q", folder))
	var mails []Mail
	for _, r := range x.Do("UID FETCH 1:* (UID FLAGS BODY.PEEK[])") {
		m := fetched.FindStringSubmatchIndex(r)
		if m == nil {
			continue
		}
		uid, err := strconv.ParseUint(r[m[2]:m[3]], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		flags := strings.TrimSpace(strings.Replace(r[m[4]:m[5]], `\Recent`, "", 1))
		mails = append(mails, Mail{uint32(uid), flags, []byte(r[m[1] : len(r)-1])})
	}
	return mails
}
