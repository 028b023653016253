package imap_test

import (
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
	"mailrow/poller/imap"
	"mailrow/poller/imap/client"
	"mailrow/poller/pollertest"
	"mailrow/poller/sasl"
)

func TestStartTLSIsInsistedOn(t *testing.T) {
	authority := tlstest.New(t)
	conf := &tls.Config{Certificates: []tls.Certificate{authority.Issue(t, "127.0.0.1")}}
	ca := authority.WriteCA(t, t.TempDir())
	const after = `
tls
C: a CAPABILITY
S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
S: a OK
C: a AUTHENTICATE PLAIN
S: + 
C: = AHUxAHB3
S: a OK [CAPABILITY IMAP4rev1] in
C: a LIST
S: a OK
`
	for _, test := range []struct {
		name, script string
		want         error // nil: it works
	}{
		{"as it should be", "S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hi\nC: a STARTTLS\nS: a OK\n" + after, nil},
		{"capabilities in clear are forgotten", "S: * OK [CAPABILITY IMAP4rev1 STARTTLS SASL-IR ID UTF8=ACCEPT ENABLE] hi\nC: a STARTTLS\nS: a OK\n" + after, nil},
		{"stripped", "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\nC: a NOTHING\n", client.ErrNoTLS},
		{"refused", "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: a STARTTLS\nS: a NO later\nC: a NOTHING\n", client.ErrNoTLS},
		{"PREAUTH", "S: * PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: a NOTHING\n", client.ErrNoTLS},
		{"injected", "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: a STARTTLS\nS> a2 OK go\\r\\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\\r\\na3 OK\\r\\n\nC: a NOTHING\n", dial.ErrInjected},
	} {
		t.Run(test.name, func(t *testing.T) {
			script := strings.Replace(test.script, "S> a2 OK", "S> a1 OK", 1)
			s := scripttest.Start(ignoreEnd{t}, conf, script)
			c := at(t, s.Addr())
			c.Server.Security, c.Server.Verify.CA = dial.StartTLS, ca
			c.Credentials = sasl.Credentials{User: "u1", Password: pollertest.Secret("pw")}
			src, err := imap.Open(t.Context(), c)
			if !errors.Is(err, test.want) {
				t.Errorf("open: %v", err)
			}
			if err == nil {
				src.Close()
			}
		})
	}
}

// ignoreEnd: a client that leaves does not send what the script waits for. What it
// sends all the same is an error.
type ignoreEnd struct{ *testing.T }

func (i ignoreEnd) Errorf(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !strings.HasPrefix(text, `the client sent "", EOF`) {
		i.T.Error(text)
	}
}

func TestServerRepeatsSecret(t *testing.T) {
	s := scripttest.Start(t, nil, `
S: * OK [CAPABILITY IMAP4rev1] hi
C: a LOGIN "u1" "pa\"ss word"
S: a NO [AUTHENTICATIONFAILED] LOGIN u1 pa"ss word is wrong, as is cGEic3Mgd29yZA==
silence
`)
	conf := at(t, s.Addr())
	conf.Credentials = sasl.Credentials{User: "u1", Password: pollertest.Secret(`pa"ss word`)}
	trace := pollertest.Traced(&conf.Server)
	_, err := imap.Open(t.Context(), conf)
	var denied *sasl.DeniedError
	if !errors.As(err, &denied) || !strings.Contains(err.Error(), "LOGIN u1 *** is wrong") {
		t.Errorf("open: %v", err)
	}
	pollertest.Hidden(t, fmt.Sprint(trace, err), `pa"ss word`, "cGEic3Mgd29yZA")
}

func TestTroubleIsNoDenial(t *testing.T) {
	s := scripttest.Start(t, nil, "S: * OK [CAPABILITY IMAP4rev1] hi\nC: a LOGIN\nS: a NO [UNAVAILABLE] the directory is away\nsilence\n")
	_, err := imap.Open(t.Context(), at(t, s.Addr()))
	var denied *sasl.DeniedError
	if err == nil || errors.As(err, &denied) {
		t.Errorf("open: %v", err)
	}
}

// A password that no quoted string can hold waits for the server to agree.
func TestLiteralWaitsToBeAgreedTo(t *testing.T) {
	s := scripttest.Start(t, nil, "S: * OK [CAPABILITY IMAP4rev1] hi\nC: a LOGIN \"u1@test.local\" {4}\nS: + go on\nC: = p\u00e4x\nS: a OK [CAPABILITY IMAP4rev1] in\nC: a LIST\nS: a OK\nC: b LOGOUT\n")
	conf := at(t, s.Addr())
	conf.Credentials.Password = pollertest.Secret("p\u00e4x")
	open(t, conf).Close()
}

func TestIdleIsNotEndless(t *testing.T) {
	for name, script := range map[string]string{
		"no answer to DONE": three + "C: a IDLE\nS: + idling\nC: = DONE\nsilence\n",
		"closed":            three + "C: a IDLE\nS: + idling\nclose\n",
		"BYE":               three + "C: a IDLE\nS: + idling\nS: * BYE bored\nclose\n",
		"never agreed to":   three + "C: a IDLE\nsilence\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scripttest.Start(t, nil, script)
			conf := at(t, s.Addr())
			conf.Idle, conf.Server.Timeouts.Read = 100*time.Millisecond, 300*time.Millisecond
			f := folder(t, open(t, conf), "INBOX")
			list(t, f, "")
			var broken *poller.BrokenError
			if err := f.Wait(t.Context()); !errors.As(err, &broken) {
				t.Errorf("wait: %v", err)
			}
		})
	}
}

func TestRefusedIdleBecomesPolling(t *testing.T) {
	s := scripttest.Start(t, nil, three+"C: a IDLE\nS: a BAD what\nC: a NOOP\nS: a OK\nC: a NOOP\nS: * 4 EXISTS\nS: a OK\nsilence\n")
	conf := at(t, s.Addr())
	conf.Poll = 10 * time.Millisecond
	f := folder(t, open(t, conf), "INBOX")
	list(t, f, "")
	if err := f.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// UTF8=ACCEPT keeps servers from rewriting mail; names are UTF-8 then.
func TestUTF8IsEnabled(t *testing.T) {
	s := scripttest.Start(t, nil, `
S: * PREAUTH [CAPABILITY IMAP4rev1 ENABLE UTF8=ACCEPT] hello
C: a ENABLE UTF8=ACCEPT
S: * ENABLED UTF8=ACCEPT
S: a OK
C: b LIST "" ""
S: * LIST (\Noselect) "." ""
S: b OK
C: c LIST "" "Entwürfe.Alt"
S: * LIST () "." "Entwürfe.Alt"
S: c OK
C: c EXAMINE "Entwürfe.Alt"
S: * OK [UIDVALIDITY 1] x
S: c OK
C: b LOGOUT
`)
	src := open(t, at(t, s.Addr()))
	names, err := src.Folders(t.Context(), []string{"Entwürfe/Alt"})
	if diff := cmp.Diff([]string{"Entwürfe/Alt"}, names); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	folder(t, src, "Entwürfe/Alt")
	src.Close()
}

func TestNothingIsInjected(t *testing.T) {
	s := scripttest.Start(t, nil, begin+"C: a LIST \"\" \"a&AA0ACg-b DELETE\"\nS: a OK\nC: a LIST \"\" \"*\"\nS: a OK\nsilence\n")
	src := open(t, at(t, s.Addr()))
	if _, err := src.Folders(t.Context(), []string{"a\r\nb DELETE"}); err == nil {
		t.Error("found")
	}
	conf := at(t, s.Addr())
	conf.Search = "ALL\r\nb DELETE INBOX"
	if _, err := imap.Open(t.Context(), conf); err == nil {
		t.Error("a search of two lines is taken")
	}
}
