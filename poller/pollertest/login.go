package pollertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/tlstest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/sasl"
)

// Protocol is one that servers are logged in with.
type Protocol struct {
	Clear, TLS func(*dovecottest.Server) string // addresses
	StartTLS   string                           // the command
	Auth       string                           // and that for a mechanism
	Open       func(context.Context, dial.Server, sasl.Credentials) (poller.Source, error)
}

// Login runs the tests of logging in to a server.
func Login(t *testing.T, p Protocol) {
	t.Run("ways", p.ways)
	t.Run("refreshed token", p.refreshedToken)
	t.Run("in clear", p.inClear)
	t.Run("TLS", p.tls)
	t.Run("client certificate", p.clientCertificate)
}

// Secret is how credentials give a password or a token.
func Secret(text string) func(context.Context) (sasl.Secret, error) {
	return func(context.Context) (sasl.Secret, error) { return sasl.NewSecret(text), nil }
}

// Credentials are those of the user that each server has.
func Credentials() sasl.Credentials {
	return sasl.Credentials{User: dovecottest.User, Password: Secret(dovecottest.Password)}
}

// Traced keeps what is traced and warned of.
func Traced(s *dial.Server) *bytes.Buffer {
	var b bytes.Buffer
	s.Trace = func(line string) { fmt.Fprintln(&b, line) }
	s.Warn = func(text string) { fmt.Fprintln(&b, "W:", text) }
	return &b
}

// Hidden wants none of the secrets in a text.
func Hidden(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) || sasl.NewSecret(s).Hide(text) != text {
			t.Errorf("a secret can be read in:\n%s", text)
		}
	}
}

func (p Protocol) ways(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Users: []string{"päng@test.local"}})
	token := s.Token(t, dovecottest.User, time.Hour)
	expired := s.Token(t, dovecottest.User, -time.Minute)
	pass, wrong := Secret(dovecottest.Password), Secret("wrong")
	for _, test := range []struct {
		name   string
		who    sasl.Credentials
		clear  bool
		trace  string // has to be in it; AUTH stands for the command
		denied bool
	}{
		{name: "best", who: sasl.Credentials{Password: pass}, trace: "AUTH PLAIN"},
		{name: "in clear", who: sasl.Credentials{Password: pass}, clear: true, trace: "AUTH CRAM-MD5\n"},
		{name: "LOGIN", who: sasl.Credentials{Password: pass, Mechanism: "LOGIN"}, trace: "AUTH LOGIN\n"},
		{name: "CRAM-MD5", who: sasl.Credentials{Password: pass, Mechanism: "CRAM-MD5"}, trace: "W: 127.0.0.1"},
		{name: "OAUTHBEARER", who: sasl.Credentials{Token: Secret(token)}, trace: "AUTH OAUTHBEARER"},
		{name: "XOAUTH2", who: sasl.Credentials{Token: Secret(token), Mechanism: "XOAUTH2"}, trace: "AUTH XOAUTH2"},
		{name: "token before password", who: sasl.Credentials{Token: Secret(token), Password: wrong}},
		{name: "password after token", who: sasl.Credentials{Token: Secret(expired), Password: pass}},
		{name: "user not ASCII", who: sasl.Credentials{User: "päng@test.local", Password: pass}},
		{name: "wrong password", who: sasl.Credentials{Password: wrong}, denied: true},
		{name: "wrong password, CRAM-MD5", who: sasl.Credentials{Password: wrong, Mechanism: "CRAM-MD5"}, denied: true},
		{name: "expired token", who: sasl.Credentials{Token: Secret(expired)}, trace: "S: + ", denied: true},
		{name: "expired token, XOAUTH2", who: sasl.Credentials{Token: Secret(expired), Mechanism: "XOAUTH2"}, denied: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := Server(t, p.TLS(s))
			server.Security, server.Verify.CA = dial.TLS, s.CA()
			if test.clear {
				server = Server(t, p.Clear(s))
			}
			if test.who.User == "" {
				test.who.User = dovecottest.User
			}
			trace := Traced(&server)
			src, err := p.Open(t.Context(), server, test.who)
			var denied *sasl.DeniedError
			if errors.As(err, &denied) != test.denied || err != nil && !test.denied {
				t.Errorf("open: %v", err)
			}
			if err == nil {
				if _, err := src.Folder(t.Context(), "INBOX"); err != nil {
					t.Error(err)
				}
				src.Close()
			}
			want := strings.Replace(test.trace, "AUTH", p.Auth, 1)
			if !strings.Contains(trace.String(), want) || strings.HasPrefix(test.trace, "AUTH") && !strings.Contains(trace.String(), "***") {
				t.Errorf("no %q, or no *** in the trace:\n%s", want, trace)
			}
			Hidden(t, fmt.Sprintf("%s%v%+v", trace, err, test.who), dovecottest.Password, "wrong", token, expired)
		})
	}
}

// A token that somebody has refreshed meanwhile is tried, and only once.
func (p Protocol) refreshedToken(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	tokens := []string{s.Token(t, dovecottest.User, -time.Minute), s.Token(t, dovecottest.User, time.Hour)}
	asked := 0
	who := sasl.Credentials{User: dovecottest.User, Token: func(context.Context) (sasl.Secret, error) {
		asked++
		return sasl.NewSecret(tokens[min(asked, len(tokens))-1]), nil
	}}
	p.open(t, Server(t, p.Clear(s)), who)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	vault := errors.New("the vault is locked")
	who.Token = func(context.Context) (sasl.Secret, error) { return sasl.Secret{}, vault }
	if _, err := p.Open(t.Context(), Server(t, p.Clear(s)), who); !errors.Is(err, vault) {
		t.Errorf("open: %v", err)
	}
}

func (p Protocol) open(t *testing.T, server dial.Server, who sasl.Credentials) {
	t.Helper()
	src, err := p.Open(t.Context(), server, who)
	if err != nil {
		t.Fatal(err)
	}
	src.Close()
}

func (p Protocol) inClear(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Extra: "auth_mechanisms = plain\n"})
	server := Server(t, p.Clear(s))
	trace := Traced(&server)
	p.open(t, server, Credentials())
	if !strings.Contains(trace.String(), "in clear: use TLS") {
		t.Errorf("no warning:\n%s", trace)
	}
}

func (p Protocol) tls(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	for security, addr := range map[dial.Security]string{dial.TLS: p.TLS(s), dial.StartTLS: p.Clear(s)} {
		server := Server(t, addr)
		server.Security = security
		_, err := p.Open(t.Context(), server, Credentials())
		if err == nil || !strings.Contains(err.Error(), "ca=FILE, or, if this is the right server, pin=sha256:") {
			t.Fatalf("an unknown authority: %v", err)
		}
		_, pin, _ := strings.Cut(err.Error(), "pin=")
		server.Verify.Pins = []string{pin}
		p.open(t, server, Credentials())

		server.Verify = dial.Verify{CA: s.CA()}
		trace := Traced(&server)
		p.open(t, server, Credentials())
		clear, _, _ := strings.Cut(trace.String(), p.StartTLS)
		if security == dial.StartTLS && strings.Contains(clear, p.Auth) || !strings.Contains(trace.String(), p.Auth+" PLAIN") {
			t.Errorf("trace:\n%s", trace)
		}
		server.Verify = dial.Verify{Insecure: true}
		trace = Traced(&server)
		p.open(t, server, Credentials())
		if !strings.Contains(trace.String(), "W: ") {
			t.Errorf("no warning:\n%s", trace)
		}
	}
}

func (p Protocol) clientCertificate(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Extra: "ssl_ca = <DIR/tls/ca.pem\nssl_require_crl = no\nssl_verify_client_cert = yes\nauth_ssl_require_client_cert = yes\n"})
	server := Server(t, p.TLS(s))
	server.Security, server.Verify.CA = dial.TLS, s.CA()
	if _, err := p.Open(t.Context(), server, Credentials()); err == nil {
		t.Error("no certificate is enough")
	}
	server.Verify.Certificate, server.Verify.Key = tlstest.Write(t, t.TempDir(), "client", s.Authority.Issue(t, dovecottest.User))
	p.open(t, server, Credentials())
}
