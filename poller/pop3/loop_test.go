package pop3_test

import (
	"context"
	"testing"

	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/pollertest"
	"mailrow/poller/pop3"
)

func TestLoop(t *testing.T) {
	var s *dovecottest.Server
	newBox := func(t testing.TB) pollertest.Box {
		s = dovecottest.Start(t, dovecottest.Config{})
		return pollertest.Inbox(s, "pop3")
	}
	open := func(ctx context.Context, u poller.URI) (poller.Source, error) {
		conf := at(t, s.POP3)
		conf.Server.Host = u.Host
		return pop3.Open(ctx, conf)
	}
	pollertest.Run(t, pollertest.Kind{Box: newBox, CRLF: true, Bare: true, Many: 2000}, open)
}
