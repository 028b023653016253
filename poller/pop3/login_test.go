package pop3_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/pollertest"
	"mailrow/poller/pop3"
	"mailrow/poller/sasl"
)

func TestLogin(t *testing.T) {
	pollertest.Login(t, pollertest.Protocol{
		Clear:    func(s *dovecottest.Server) string { return s.POP3 },
		TLS:      func(s *dovecottest.Server) string { return s.POP3S },
		StartTLS: "STLS",
		Auth:     "AUTH",
		Open: func(ctx context.Context, server dial.Server, who sasl.Credentials) (poller.Source, error) {
			return pop3.Open(ctx, pop3.Config{Server: server, Credentials: who})
		},
	})
}

func TestAPOP(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	conf := at(t, s.POP3)
	conf.Credentials.Mechanism = "APOP"
	trace := pollertest.Traced(&conf.Server)
	open(t, conf)
	if !strings.Contains(trace.String(), "C: APOP ***\n") {
		t.Errorf("trace:\n%s", trace)
	}
	conf.Credentials.Password = pollertest.Secret("wrong")
	_, err := pop3.Open(t.Context(), conf)
	var denied *sasl.DeniedError
	if !errors.As(err, &denied) {
		t.Errorf("open: %v", err)
	}
	pollertest.Hidden(t, fmt.Sprint(trace, err), dovecottest.Password, "wrong")
}
