package pop3_test

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/scripttest"
	"mailrow/internal/tlstest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/pollertest"
	"mailrow/poller/pop3"
	"mailrow/poller/pop3/client"
	"mailrow/poller/sasl"
)

// What scripts begin with: logged in, and a maildrop of two mails.
const (
	login = `
S: +OK ready
C: = CAPA
S: +OK
S: USER
S: UIDL
S: .
C: = USER u1@test.local
S: +OK
C: = PASS se"cr\et
S: +OK
`
	two = login + `
C: = LIST
S: +OK 2
S: 1 7
S: 2 7
S: .
C: = UIDL
S: +OK
S: 1 a
S: 2 b
S: .
`
	// second is the mail that is read after the one in question.
	second = "C: = RETR 2\nS: +OK\nS: mail2\nS: .\n"
	// over is the session's end.
	over = "C: = QUIT\nS: +OK\n"
)

// played is what came of a script: the ids, the mails or their errors, and the last
// error.
type played struct {
	listed  []string
	mails   []string
	err     error
	warned  string
	partial bool
}

// play lists the mailbox and reads every mail of it.
func play(t *testing.T, scripts ...string) (p played) {
	t.Helper()
	s := scripttest.Start(t, nil, scripts...)
	conf := at(t, s.Addr())
	conf.Server.Timeouts = dial.Timeouts{Greeting: 500 * time.Millisecond, Read: 500 * time.Millisecond}
	conf.Server.Warn = func(text string) { p.warned += text }
	src, err := pop3.Open(t.Context(), conf)
	if err != nil {
		p.err = err
		return p
	}
	defer src.Close()
	f := folder(t, src)
	entries, l, err := tryList(t.Context(), f)
	p.listed = ids(entries)
	if p.err = err; err != nil {
		return p
	}
	p.partial = l.Partial
	for _, e := range entries {
		raw, err := tryRead(t.Context(), f, e)
		if err != nil {
			raw = "error"
			p.err = err
		}
		p.mails = append(p.mails, raw)
		var broken *poller.BrokenError
		if errors.As(err, &broken) {
			break
		}
	}
	return p
}

func TestOddMails(t *testing.T) {
	mail := func(lines string) string { return two + "C: = RETR 1\n" + lines }
	long := strings.Repeat("x", 200_000)
	for _, test := range []struct {
		name, script string
		mails        []string // the second one is "mail2" where there is one
	}{
		{"as it should be", mail("S: +OK 7 octets\nS: mail1\nS: .\n" + second + over), []string{"mail1\r\n", "mail2\r\n"}},
		{"too few announced", mail("S: +OK 3 octets\nS: a longer mail\nS: .\n" + second + over), []string{"a longer mail\r\n", "mail2\r\n"}},
		{"too many announced", mail("S: +OK 3000 octets\nS: short\nS: .\n" + second + over), []string{"short\r\n", "mail2\r\n"}},
		{"dots", mail("S: +OK\nS: ..\nS: ...\nS: ..x\nS: x.\nS: . \nS: \nS: ..\nS: .\n" + second + over), []string{".\r\n..\r\n.x\r\nx.\r\n. \r\n\r\n.\r\n", "mail2\r\n"}},
		{"not stuffed", mail("S: +OK\nS: .x\nS: y\nS: .\n" + second + over), []string{".x\r\ny\r\n", "mail2\r\n"}},
		{"CR before the end", mail(`S> +OK\r\na\r\r\n.\r\n` + "\n" + second + over), []string{"a\r\r\n", "mail2\r\n"}},
		{"lone CR and LF", mail(`S> +OK\r\na\rb\nc\n\rd\r.\r\ne\n..\r\n.\r\n` + "\n" + second + over), []string{"a\rb\nc\n\rd\r.\r\ne\n..\r\n", "mail2\r\n"}},
		{"LF and a dot are no end", mail(`S> +OK\r\na\n.\r\nb\r\n.\r\n` + "\n" + second + over), []string{"a\n.\r\nb\r\n", "mail2\r\n"}},
		{"dot and LF are no end", mail(`S> +OK\r\na\r\n.\nb\r\n.\r\n` + "\n" + second + over), []string{"a\r\n.\nb\r\n", "mail2\r\n"}},
		{"dot and CR are no end", mail(`S> +OK\r\na\r\n.\rb\r\n.\r\n` + "\n" + second + over), []string{"a\r\n.\rb\r\n", "mail2\r\n"}},
		{"LF only", mail(`S> +OK\na\n..\nb\n.\n` + "\n" + second + over), []string{"a\n.\nb\n", "mail2\r\n"}},
		{"NUL and 8 bit", mail(`S> +OK\r\n\x00\xff\x80\r\n.\r\n` + "\n" + second + over), []string{"\x00\xff\x80\r\n", "mail2\r\n"}},
		{"a long line", mail("S: +OK\nS: " + long + "\nS: .\n" + second + over), []string{long + "\r\n", "mail2\r\n"}},
		{"slow bytes", mail(`S> +O` + "\n" + `S> K\r` + "\n" + `S> \nm` + "\n" + `S> \r` + "\n" + `S> \n` + "\n" + `S> .` + "\n" + `S> .` + "\n" + `S> \r\n.` + "\n" + `S> \r` + "\n" + `S> \n` + "\n" + second + over), []string{"m\r\n.\r\n", "mail2\r\n"}},
		{"refused", mail("S: -ERR [SYS/TEMP] later\n" + second + over), []string{"error", "mail2\r\n"}},
		{"empty", mail("S: +OK 0 octets\nS: .\n" + second + over), []string{"error", "mail2\r\n"}},
		{"no final dot", mail("S: +OK\nS: mail1\nclose\n"), []string{"error"}},
		{"no final dot, and silence", mail("S: +OK\nS: mail1\nsilence\n"), []string{"error"}},
		{"cut before the final line end", mail(`S> +OK\r\nmail1\r\n.` + "\nclose\n"), []string{"error"}},
		{"cut within the final line end", mail(`S> +OK\r\nmail1\r\n.\r` + "\nclose\n"), []string{"error"}},
		{"cut in the answer", mail("S> +OK\nclose\n"), []string{"error"}},
		{"another protocol", mail("S: 250 OK\nsilence\n"), []string{"error"}},
		{"more after the end", mail(`S> +OK\r\nmail1\r\n.\r\n+OK and another\r\nthing\r\n.\r\n` + "\nsilence\n"), []string{"mail1\r\n", "error"}},
		{"BYE", mail("S: * BYE\nsilence\n"), []string{"error"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, test.script)
			if diff := cmp.Diff(test.mails, p.mails); diff != "" {
				t.Errorf("%v %.2000s", p.err, diff)
			}
			var broken *poller.BrokenError
			lost := len(test.mails) < 2 || test.mails[1] == "error"
			if errors.As(p.err, &broken) != lost {
				t.Errorf("error %v, lost connection %v", p.err, lost)
			}
			if p.err != nil && !strings.Contains(p.err.Error(), "of 127.0.0.1:") {
				t.Errorf("the error does not say where: %v", p.err)
			}
		})
	}
}

// content is the id of a mail that is named by its bytes.
func content(mail string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(mail))) }

func TestOddListings(t *testing.T) {
	retr := func(n int, text string) string { return fmt.Sprintf("C: = RETR %d\nS: +OK\nS: %s\nS: .\n", n, text) }
	both := retr(1, "mail1") + retr(2, "mail2")
	list := "C: = LIST\nS: +OK\nS: 1 7\nS: 2 7\nS: .\n"
	noUIDL := strings.Replace(login, "S: UIDL\n", "", 1)
	one, other := content("mail1\r\n"), content("mail2\r\n")
	long := strings.Repeat("x", 70)
	for _, test := range []struct {
		name, script string
		listed       []string
		failed       bool
	}{
		{"no UIDL", noUIDL + list + "C: = UIDL\nS: -ERR what\n" + both + both + over, []string{one, other}, false},
		{"UIDL with trouble", login + list + "C: = UIDL\nS: -ERR not now\n" + over, nil, true},
		{"UIDL with a code", noUIDL + list + "C: = UIDL\nS: -ERR [SYS/TEMP] not now\n" + over, nil, true},
		{"repeated id", login + list + "C: = UIDL\nS: +OK\nS: 1 x\nS: 2 x\nS: .\n" + both + both + over, []string{"x " + one, "x " + other}, false},
		{"repeated id of one mail", login + list + "C: = UIDL\nS: +OK\nS: 1 x\nS: 2 x\nS: .\n" + retr(1, "mail1") + retr(2, "mail1") + retr(1, "mail1") + retr(2, "mail1") + over, []string{"x " + one, "x " + one}, false},
		{"one without an id", login + list + "C: = UIDL\nS: +OK\nS: 1 \nS: 2 b\nS: .\n" + retr(1, "mail1") + both + over, []string{one, "b"}, false},
		{"an id too long", login + list + "C: = UIDL\nS: +OK\nS: 1 " + strings.Repeat("x", 501) + "\nS: 2 " + long + "\nS: .\n" + retr(1, "mail1") + both + over, []string{one, long}, false},
		{"two ids of one mail", login + list + "C: = UIDL\nS: +OK\nS: 1 a\nS: 1 b\nS: 1 a\nS: 2 c\nS: 2 c\nS: .\n" + retr(1, "mail1") + both + over, []string{one, "c"}, false},
		{"no sizes", login + "C: = LIST\nS: +OK\nS: .\nC: = UIDL\nS: +OK\nS: 2 b\nS: 1 a\nS: .\n" + both + over, []string{"a", "b"}, false},
		{"junk between", login + "C: = LIST\nS: +OK\nS: junk\nS: 2 seven\nS: 0 7\nS: 1 -7\nS: 99999999999 7\nS: \nS: .\nC: = UIDL\nS: +OK\nS: junk\nS: 1 a more\nS: 2  b\nS: .\n" + both + over, []string{"a", "b"}, false},
		{"other numbers", login + "C: = LIST\nS: +OK\nS: 4 7\nS: 2 7\nS: .\nC: = UIDL\nS: +OK\nS: 2 b\nS: 4 d\nS: .\n" + retr(2, "x") + retr(4, "y") + over, []string{"b", "d"}, false},
		{"empty", login + "C: = LIST\nS: +OK\nS: .\nC: = UIDL\nS: +OK\nS: .\n" + over, nil, false},
		{"empty is refused", login + "C: = LIST\nS: -ERR nothing\nC: = STAT\nS: +OK 0 0\n" + over, nil, false},
		{"refused", login + "C: = LIST\nS: -ERR nothing\nC: = STAT\nS: +OK 2 14\n" + over, nil, true},
		{"ends too early", login + "C: = LIST\nS: +OK\nS: 1 7\nclose\n", nil, true},
		{"ids end too early", login + list + "C: = UIDL\nS: +OK\nS: 1 a\nclose\n", nil, true},
		{"a line without end", login + "C: = LIST\nS: +OK\nS: " + strings.Repeat("1", 100_000) + "\nsilence\n", nil, true},
		{"a greeting of its own", "S: -ERR [SYS/TEMP] full\nclose\n", nil, true},
		{"no greeting", "silence\n", nil, true},
		{"SMTP", "S: 220 mail.example.com ESMTP\n", nil, true},
		{"IMAP", "S: * OK ready\n", nil, true},
		{"closed after CAPA", "S: +OK\nC: = CAPA\nclose\n", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, test.script)
			if diff := cmp.Diff(test.listed, p.listed); diff != "" || (p.err != nil) != test.failed || p.partial {
				t.Errorf("%v %s", p.err, diff)
			}
			if p.err != nil && !strings.Contains(p.err.Error(), "127.0.0.1:") {
				t.Errorf("the error does not say where: %v", p.err)
			}
			if len(p.mails) != len(p.listed) {
				t.Errorf("mails %q", p.mails)
			}
		})
	}
}

// A mail that cannot be named does not hold up the others.
func TestMailThatCannotBeNamed(t *testing.T) {
	p := play(t, strings.Replace(login, "S: UIDL\n", "", 1)+"C: = LIST\nS: +OK\nS: 1 7\nS: 2 7\nS: .\nC: = UIDL\nS: -ERR what\n"+
		"C: = RETR 1\nS: -ERR broken\n"+second+second+over)
	if diff := cmp.Diff([]string{content("mail2\r\n")}, p.listed); diff != "" || !p.partial || !strings.Contains(p.warned, "left out") {
		t.Errorf("%+v %s", p, diff)
	}
}

// What a server adds with each look would be another mail each time.
func TestMailThatChangesIsNotTaken(t *testing.T) {
	p := play(t, strings.Replace(login, "S: UIDL\n", "", 1)+"C: = LIST\nS: +OK\nS: 1 7\nS: .\nC: = UIDL\nS: -ERR what\n"+
		"C: = RETR 1\nS: +OK\nS: Status: N\nS: .\nC: = RETR 1\nS: +OK\nS: Status: RO\nS: .\n"+over)
	if p.err == nil || !strings.Contains(p.err.Error(), "other bytes") {
		t.Errorf("%+v", p)
	}
}

func TestStartTLSIsInsistedOn(t *testing.T) {
	authority := tlstest.New(t)
	right := &tls.Config{Certificates: []tls.Certificate{authority.Issue(t, "127.0.0.1")}}
	wrong := &tls.Config{Certificates: []tls.Certificate{authority.Issue(t, "pop.example.com")}}
	ca := authority.WriteCA(t, t.TempDir())
	const capa = "C: = CAPA\nS: +OK\nS: USER\nS: STLS\nS: .\n"
	const after = `
tls
C: = CAPA
S: +OK
S: SASL PLAIN
S: .
C: = AUTH PLAIN
S: + 
C: = AHUxAHB3
S: +OK in
C: = QUIT
`
	for _, test := range []struct {
		name, script string
		conf         *tls.Config
		want         string // "": it works
	}{
		{"as it should be", "S: +OK hi\n" + capa + "C: = STLS\nS: +OK go\n" + after, right, ""},
		{"without CAPA", "S: +OK hi\nC: = CAPA\nS: -ERR what\nC: = STLS\nS: +OK go\n" + after, right, ""},
		{"what was said in clear is forgotten", "S: +OK hi <1.2@example.com>\n" + strings.Replace(capa, "S: .", "S: UTF8\nS: SASL CRAM-MD5\nS: .", 1) + "C: = STLS\nS: +OK go\n" + after, right, ""},
		{"stripped", "S: +OK hi\nC: = CAPA\nS: +OK\nS: USER\nS: .\nC: = NOTHING\n", right, client.ErrNoTLS.Error()},
		{"refused", "S: +OK hi\n" + capa + "C: = STLS\nS: -ERR not here\nC: = NOTHING\n", right, client.ErrNoTLS.Error()},
		{"injected", "S: +OK hi\n" + capa + "C: = STLS\nS> +OK go\\r\\n+OK\\r\\nSASL PLAIN\\r\\n.\\r\\n\nC: = NOTHING\n", right, dial.ErrInjected.Error()},
		{"certificate for another host", "S: +OK hi\n" + capa + "C: = STLS\nS: +OK go\ntls\n", wrong, "write the server by a name that its certificate is for"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := scripttest.Start(ignoreEnd{t}, test.conf, test.script)
			c := at(t, s.Addr())
			c.Server.Security, c.Server.Verify.CA = dial.StartTLS, ca
			c.Credentials = sasl.Credentials{User: "u1", Password: pollertest.Secret("pw")}
			src, err := pop3.Open(t.Context(), c)
			if err == nil {
				src.Close()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// ignoreEnd: a client that leaves does not send what the script waits for. What it
// sends all the same is an error.
type ignoreEnd struct{ *testing.T }

func (i ignoreEnd) Errorf(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !strings.HasPrefix(text, `the client sent "", `) {
		i.T.Error(text)
	}
}

func TestLoginsOfOddServers(t *testing.T) {
	token := sasl.Credentials{User: "u1", Token: pollertest.Secret("geheim")}
	password := sasl.Credentials{User: "u1", Password: pollertest.Secret("tanstaaf")}
	xoauth2 := "dXNlcj11MQFhdXRoPUJlYXJlciBnZWhlaW0BAQ=="
	capa := func(lines ...string) string {
		return "S: +OK <1896.697170952@dbc.mtview.ca.us>\nC: = CAPA\nS: +OK\nS: " + strings.Join(lines, "\nS: ") + "\nS: .\n"
	}
	for _, test := range []struct {
		name, script string
		who          sasl.Credentials
		want         string // "": it works
		denied       bool
	}{
		{"APOP", "S: +OK <1896.697170952@dbc.mtview.ca.us>\nC: = CAPA\nS: -ERR what\nC: = APOP u1 c4c9334bac560ecc979e58001b3e22fb\nS: +OK\n" + over, password, "", false},
		{"a stamp that anybody may have made", "S: +OK <no stamp>\nC: = CAPA\nS: -ERR what\nC: = USER u1\nS: +OK\nC: = PASS tanstaaf\nS: +OK\n" + over, password, "", false},
		{"XOAUTH2 in two lines", capa("SASL XOAUTH2") + "C: = AUTH XOAUTH2\nS: +\nC: = " + xoauth2 + "\nS: +OK\n" + over, token, "", false},
		{"XOAUTH2 in one line", capa("SASL XOAUTH2") + "C: = AUTH XOAUTH2\nS: -ERR Protocol error\nC: = AUTH XOAUTH2 " + xoauth2 + "\nS: +OK\n" + over, token, "", false},
		{"XOAUTH2 denied", capa("SASL XOAUTH2") + "C: = AUTH XOAUTH2\nS: +\nC: = " + xoauth2 + "\nS: + eyJzdGF0dXMiOiI0MDEifQ==\nC: = \nS: -ERR no\nsilence\n", token, "denied (no, status 401): the token has expired", true},
		{"UTF8", capa("USER", "UTF8 USER", "SASL PLAIN") + "C: = UTF8\nS: +OK\nC: = APOP u1\nS: +OK\n" + over, password, "", false},
		{"UTF8 refused", capa("UTF8") + "C: = UTF8\nS: -ERR no\nC: = APOP u1\nS: +OK\n" + over, password, "", false},
		{"denied without a code", capa("USER") + "C: = APOP\nS: -ERR APOP u1 c4c9334bac560ecc979e58001b3e22fb tanstaaf is wrong\nsilence\n", password, "c4c9334bac560ecc979e58001b3e22fb *** is wrong", true},
		{"denied with a code", capa("AUTH-RESP-CODE") + "C: = APOP\nS: -ERR [AUTH] no\nsilence\n", password, "check user and password", true},
		{"trouble that has no code", capa("AUTH-RESP-CODE") + "C: = APOP\nS: -ERR no\nsilence\n", password, "APOP: -ERR no", false},
		{"in use", capa("USER") + "C: = APOP\nS: -ERR [IN-USE] locked\nsilence\n", password, "it will be tried again", false},
		{"too early", capa("USER") + "C: = APOP\nS: -ERR [LOGIN-DELAY] wait\nsilence\n", password, "poll less often", false},
		{"trouble", capa("USER") + "C: = APOP\nS: -ERR [sys/temp] away\nsilence\n", password, "[SYS/TEMP] away: the server has trouble, and it will be tried again", false},
		{"no way", "S: +OK\nC: = CAPA\nS: +OK\nS: SASL GSSAPI\nS: .\nsilence\n", password, "the server wants no password in clear", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := scripttest.Start(ignoreEnd{t}, nil, test.script)
			c := at(t, s.Addr())
			c.Credentials = test.who
			trace := pollertest.Traced(&c.Server)
			src, err := pop3.Open(t.Context(), c)
			if err == nil {
				src.Close()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("open: %v", err)
			}
			var denied *sasl.DeniedError
			if errors.As(err, &denied) != test.denied {
				t.Errorf("denied: %v", err)
			}
			pollertest.Hidden(t, fmt.Sprint(trace, err), "geheim", "tanstaaf")
		})
	}
}

func TestNothingIsInjected(t *testing.T) {
	s := scripttest.Start(ignoreEnd{t}, nil, "S: +OK\nC: = CAPA\nS: -ERR\nC: = QUIT\n")
	c := at(t, s.Addr())
	c.Credentials.User = "u1\r\nDELE 1"
	if _, err := pop3.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "control character") {
		t.Errorf("open: %v", err)
	}
}
