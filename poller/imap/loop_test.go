package imap_test

import (
	"context"
	"testing"

	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/imap"
	"mailrow/poller/pollertest"
)

func TestLoop(t *testing.T) {
	var s *dovecottest.Server
	newBox := func(t testing.TB) pollertest.Box {
		s = dovecottest.Start(t, dovecottest.Config{})
		return pollertest.Inbox(s, "imap")
	}
	open := func(ctx context.Context, u poller.URI) (poller.Source, error) {
		conf := at(t, s.IMAP)
		conf.Server.Host = u.Host
		return imap.Open(ctx, conf)
	}
	pollertest.Run(t, pollertest.Kind{Box: newBox, CRLF: true, Folders: true, Many: 500}, open)
}
