package pop3_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/tlstest"
	"mailrow/poller/dial"
	"mailrow/poller/pop3"
	"mailrow/poller/sasl"
)

// traced keeps what is traced and warned of.
func traced(conf *pop3.Config) *bytes.Buffer {
	var b bytes.Buffer
	conf.Server.Trace = func(line string) { fmt.Fprintln(&b, line) }
	conf.Server.Warn = func(text string) { fmt.Fprintln(&b, "W:", text) }
	return &b
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
		{name: "best", who: sasl.Credentials{Password: pass}, trace: "C: AUTH PLAIN\nS: + \nC: ***\nS: +OK"},
		{name: "in clear", who: sasl.Credentials{Password: pass}, clear: true, trace: "C: AUTH CRAM-MD5\n"},
		{name: "LOGIN", who: sasl.Credentials{Password: pass, Mechanism: "LOGIN"}, trace: "C: AUTH LOGIN\n"},
		{name: "CRAM-MD5", who: sasl.Credentials{Password: pass, Mechanism: "CRAM-MD5"}, trace: "W: 127.0.0.1"},
		{name: "APOP", who: sasl.Credentials{Password: pass, Mechanism: "APOP"}, clear: true, trace: "C: APOP ***\n"},
		{name: "OAUTHBEARER", who: sasl.Credentials{Token: secret(token)}, trace: "C: AUTH OAUTHBEARER\nS: + \nC: ***\n"},
		{name: "XOAUTH2", who: sasl.Credentials{Token: secret(token), Mechanism: "XOAUTH2"}, trace: "C: AUTH XOAUTH2\nS: + \nC: ***\n"},
		{name: "token before password", who: sasl.Credentials{Token: secret(token), Password: secret("wrong")}},
		{name: "password after token", who: sasl.Credentials{Token: secret(expired), Password: pass}},
		{name: "user not ASCII", who: sasl.Credentials{User: "päng@test.local", Password: pass}},
		{name: "wrong password", who: sasl.Credentials{Password: secret("wrong")}, denied: true},
		{name: "wrong password, APOP", who: sasl.Credentials{Password: secret("wrong"), Mechanism: "APOP"}, clear: true, denied: true},
		{name: "expired token", who: sasl.Credentials{Token: secret(expired)}, trace: "S: + ", denied: true},
		{name: "expired token, XOAUTH2", who: sasl.Credentials{Token: secret(expired), Mechanism: "XOAUTH2"}, denied: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := at(t, s.POP3S)
			conf.Server.Security = dial.TLS
			conf.Server.Verify.CA = s.CA()
			if test.clear {
				conf = at(t, s.POP3)
			}
			conf.Credentials = test.who
			if test.who.User == "" {
				conf.Credentials.User = dovecottest.User
			}
			trace := traced(&conf)
			src, err := pop3.Open(t.Context(), conf)
			var denied *sasl.DeniedError
			if errors.As(err, &denied) != test.denied || err != nil && !test.denied {
				t.Errorf("open: %v", err)
			}
			if err == nil {
				list(t, folder(t, src))
				src.Close()
			}
			if !strings.Contains(trace.String(), test.trace) {
				t.Errorf("no %q in the trace:\n%s", test.trace, trace)
			}
			hidden(t, fmt.Sprintf("%s%v%+v", trace, err, conf), dovecottest.Password, "wrong", token, expired)
		})
	}
}

func TestPasswordInClearIsWarnedOf(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Extra: "auth_mechanisms = plain\n"})
	conf := at(t, s.POP3)
	trace := traced(&conf)
	open(t, conf)
	if !strings.Contains(trace.String(), "in clear: use TLS") {
		t.Errorf("no warning:\n%s", trace)
	}
}

func TestTLS(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	for _, test := range []struct {
		name     string
		addr     string
		security dial.Security
	}{
		{"implicit", s.POP3S, dial.TLS},
		{"STLS", s.POP3, dial.StartTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := at(t, test.addr)
			conf.Server.Security = test.security
			if _, err := pop3.Open(t.Context(), conf); err == nil || !strings.Contains(err.Error(), "ca=FILE, or, if this is the right server, pin=sha256:") {
				t.Errorf("an unknown authority: %v", err)
			}
			conf.Server.Verify = dial.Verify{CA: s.CA()}
			trace := traced(&conf)
			open(t, conf)
			clear, _, _ := strings.Cut(trace.String(), "STLS")
			if test.security == dial.StartTLS && strings.Contains(clear, "C: AUTH") {
				t.Errorf("trace:\n%s", trace)
			}
			if !strings.Contains(trace.String(), "C: AUTH PLAIN") {
				t.Errorf("trace:\n%s", trace)
			}
		})
	}
}

func TestClientCertificate(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Extra: "ssl_ca = <DIR/tls/ca.pem\nssl_require_crl = no\nssl_verify_client_cert = yes\nauth_ssl_require_client_cert = yes\n"})
	conf := at(t, s.POP3S)
	conf.Server.Security = dial.TLS
	conf.Server.Verify.CA = s.CA()
	if _, err := pop3.Open(t.Context(), conf); err == nil {
		t.Error("no certificate is enough")
	}
	conf.Server.Verify.Certificate, conf.Server.Verify.Key = tlstest.Write(t, t.TempDir(), "client", s.Authority.Issue(t, dovecottest.User))
	open(t, conf)
}
