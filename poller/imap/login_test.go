package imap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/tlstest"
	"mailrow/poller/dial"
	"mailrow/poller/imap"
	"mailrow/poller/imap/client"
	"mailrow/poller/sasl"
)

// traced keeps what is traced and warned of.
func traced(conf *imap.Config) *bytes.Buffer {
	var b bytes.Buffer
	conf.Server.Trace = func(line string) { fmt.Fprintln(&b, line) }
	conf.Server.Warn = func(text string) { fmt.Fprintln(&b, "W:", text) }
	return &b
}

func TestLogin(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Users: []string{"päng@test.local"}})
	token := s.Token(t, dovecottest.User, time.Hour)
	expired := s.Token(t, dovecottest.User, -time.Minute)
	pass := secret(dovecottest.Password)
	for _, test := range []struct {
		name   string
		who    sasl.Credentials
		clear  bool
		trace  string
		denied bool
	}{
		{name: "best", who: sasl.Credentials{Password: pass}, trace: "AUTHENTICATE PLAIN ***"},
		{name: "in clear", who: sasl.Credentials{Password: pass}, clear: true, trace: "AUTHENTICATE CRAM-MD5\n"},
		{name: "LOGIN", who: sasl.Credentials{Password: pass, Mechanism: "LOGIN"}, trace: "AUTHENTICATE LOGIN\n"},
		{name: "CRAM-MD5", who: sasl.Credentials{Password: pass, Mechanism: "CRAM-MD5"}, trace: "W: 127.0.0.1"},
		{name: "OAUTHBEARER", who: sasl.Credentials{Token: secret(token)}, trace: "AUTHENTICATE OAUTHBEARER ***"},
		{name: "XOAUTH2", who: sasl.Credentials{Token: secret(token), Mechanism: "XOAUTH2"}, trace: "AUTHENTICATE XOAUTH2 ***"},
		{name: "token before password", who: sasl.Credentials{Token: secret(token), Password: secret("wrong")}},
		{name: "password after token", who: sasl.Credentials{Token: secret(expired), Password: pass}},
		{name: "user not ASCII", who: sasl.Credentials{User: "päng@test.local", Password: pass}},
		{name: "wrong password", who: sasl.Credentials{Password: secret("wrong")}, denied: true},
		{name: "wrong password, CRAM-MD5", who: sasl.Credentials{Password: secret("wrong"), Mechanism: "CRAM-MD5"}, denied: true},
		{name: "expired token", who: sasl.Credentials{Token: secret(expired)}, trace: "S: + ", denied: true},
		{name: "expired token, XOAUTH2", who: sasl.Credentials{Token: secret(expired), Mechanism: "XOAUTH2"}, denied: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := at(t, s.IMAPS)
			conf.Server.Security = dial.TLS
			conf.Server.Verify.CA = s.CA()
			if test.clear {
				conf = at(t, s.IMAP)
			}
			conf.Credentials = test.who
			if test.who.User == "" {
				conf.Credentials.User = dovecottest.User
			}
			trace := traced(&conf)
			src, err := imap.Open(t.Context(), conf)
			var denied *sasl.DeniedError
			if errors.As(err, &denied) != test.denied || err != nil && !test.denied {
				t.Errorf("open: %v", err)
			}
			if err == nil {
				folder(t, src, "INBOX")
				src.Close()
			}
			if !strings.Contains(trace.String(), test.trace) {
				t.Errorf("no %q in the trace:\n%s", test.trace, trace)
			}
			hidden(t, fmt.Sprintf("%s%v%+v", trace, err, conf), dovecottest.Password, "wrong", token, expired)
		})
	}
}

// hidden wants none of the secrets in a text.
func hidden(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) || sasl.NewSecret(s).Hide(text) != text {
			t.Errorf("a secret can be read in:\n%s", text)
		}
	}
}

func TestRefreshedTokenIsTriedOnce(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	conf := at(t, s.IMAP)
	tokens := []string{s.Token(t, dovecottest.User, -time.Minute), s.Token(t, dovecottest.User, time.Hour)}
	asked := 0
	conf.Credentials = sasl.Credentials{User: dovecottest.User, Token: func(context.Context) (sasl.Secret, error) {
		asked++
		return sasl.NewSecret(tokens[min(asked, len(tokens))-1]), nil
	}}
	open(t, conf)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	vault := errors.New("the vault is locked")
	conf.Credentials.Token = func(context.Context) (sasl.Secret, error) { return sasl.Secret{}, vault }
	if _, err := imap.Open(t.Context(), conf); !errors.Is(err, vault) {
		t.Errorf("open: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	for _, test := range []struct {
		name     string
		addr     string
		security dial.Security
	}{
		{"implicit", s.IMAPS, dial.TLS},
		{"STARTTLS", s.IMAP, dial.StartTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := at(t, test.addr)
			conf.Server.Security = test.security
			if _, err := imap.Open(t.Context(), conf); err == nil || !strings.Contains(err.Error(), "ca=FILE, or, if this is the right server, pin=sha256:") {
				t.Errorf("an unknown authority: %v", err)
			} else {
				_, pin, _ := strings.Cut(err.Error(), "pin=")
				conf.Server.Verify.Pins = []string{pin}
				open(t, conf)
			}
			conf.Server.Verify = dial.Verify{CA: s.CA()}
			trace := traced(&conf)
			open(t, conf)
			clear, _, _ := strings.Cut(trace.String(), "STARTTLS")
			if test.security == dial.StartTLS && strings.Contains(clear, "AUTHENTICATE") {
				t.Errorf("trace:\n%s", trace)
			}
			conf.Server.Verify = dial.Verify{Insecure: true}
			trace = traced(&conf)
			open(t, conf)
			if !strings.Contains(trace.String(), "W: ") {
				t.Errorf("no warning:\n%s", trace)
			}
		})
	}
}

func TestClientCertificate(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Extra: "ssl_ca = <DIR/tls/ca.pem\nssl_require_crl = no\nssl_verify_client_cert = yes\nauth_ssl_require_client_cert = yes\n"})
	conf := at(t, s.IMAPS)
	conf.Server.Security = dial.TLS
	conf.Server.Verify.CA = s.CA()
	if _, err := imap.Open(t.Context(), conf); err == nil {
		t.Error("no certificate is enough")
	}
	conf.Server.Verify.Certificate, conf.Server.Verify.Key = tlstest.Write(t, t.TempDir(), "client", s.Authority.Issue(t, dovecottest.User))
	open(t, conf)
}

func TestServerOnAPipe(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(50)...)
	conf := imap.Config{Server: dial.Server{Host: "a program", Command: s.Command(dovecottest.User)}}
	src := open(t, conf)
	f := folder(t, src, "INBOX")
	entries, _ := list(t, f, "")
	for i, e := range entries {
		if got := read(t, f, e); got != string(mail(i)) {
			t.Errorf("mail %d is %.80q", i, got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	conf.Server.Command = []string{"/bin/sh", "-c", "echo no such host >&2; exit 255"}
	if _, err := imap.Open(t.Context(), conf); err == nil || !strings.Contains(err.Error(), "exit status 255 (no such host)") {
		t.Errorf("a program that fails: %v", err)
	}
	conf.Server.Command = []string{"/nonexistent"}
	if _, err := imap.Open(t.Context(), conf); err == nil {
		t.Error("a program that is not there")
	}
}

func TestUTF7(t *testing.T) {
	for name, wire := range map[string]string{
		"INBOX": "INBOX", "Entwürfe": "Entw&APw-rfe", "A & B": "A &- B", "日本語": "&ZeVnLIqe-",
		"😀/x": "&2D3eAA-/x", "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "&": "&-", "": "",
		"ü&ü": "&APw-&-&APw-",
	} {
		if got := client.EncodeUTF7(name); got != wire {
			t.Errorf("%q is %q, want %q", name, got, wire)
		}
		if got := client.DecodeUTF7(wire); got != name {
			t.Errorf("%q is %q, want %q", wire, got, name)
		}
	}
	for _, none := range []string{"a&b", "&AA-", "&!!-", "Entwürfe", "&2D0-"} {
		if got := client.DecodeUTF7(none); got != none {
			t.Errorf("%q becomes %q", none, got)
		}
	}
}

func TestSet(t *testing.T) {
	if got := client.Set([]uint32{7, 1, 2, 3, 9, 8, 3, 4294967295}); got != "1:3,7:9,4294967295" {
		t.Error(got)
	}
	r := client.ParseSet("9:7,1,2,5,x,3:")
	if r.String() != "1:2,5,7:9" || r.Count() != 6 || !r.Contains(8) || r.Contains(6) {
		t.Errorf("%v", r)
	}
	var all []string
	for piece := range r.Pieces(2) {
		all = append(all, piece.String())
	}
	if !slices.Equal(all, []string{"1:2", "5,7", "8:9"}) {
		t.Errorf("%q", all)
	}
}
