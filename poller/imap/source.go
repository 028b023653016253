// Package imap reads mailboxes on IMAP servers.
//
// Its law: EXAMINE until something is to be changed, BODY.PEEK[] always, so that
// looking leaves no trace; a mail is named by UIDVALIDITY and UID; nothing is
// expunged that was not asked for; and what a server tells of a mail beside its
// bytes is a hint.
package imap

import (
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/imap/client"
	"mailrow/poller/sasl"
)

// Config is a mailbox on a server. Zero values are the defaults.
type Config struct {
	Server      dial.Server // port 993 with TLS, else 143
	Credentials sasl.Credentials

	// Search keeps mail that matches, in IMAP's words: UNSEEN FROM "ann" (RFC 9051
	// 6.4.4).
	Search   string
	SinceUID uint32    // mails of this UID and later ones
	Since    time.Time // mails that came on this day and later ones

	// Idle is how long to wait for the server to tell of something before it is
	// asked, 9 min: servers log out who is silent for 30, routers often for 10.
	Idle time.Duration
	// Poll is how often to ask a server that does not tell, 1 min.
	Poll time.Duration
}

// conditions is a sum of what makes a listing leave out mails.
func (c *Config) conditions() uint32 {
	if c.Search == "" && c.SinceUID <= 1 && c.Since.IsZero() {
		return 0
	}
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %s %s", c.SinceUID, c.Since.Format(time.DateOnly), c.Search))
}

// Source is a mailbox on a server. Its connection is made anew where it was lost.
type Source struct {
	conf     Config
	conn     *client.Conn
	ns       *client.Namespace
	names    map[string]string // as the server spells them, by what Folders calls them
	selected *Folder
}

var _ poller.Source = (*Source)(nil)

// Open connects and logs in. A *sasl.DeniedError or *sasl.NoWayError needs the
// operator; anything else may pass.
func Open(ctx context.Context, conf Config) (*Source, error) {
	conf.Idle = min(cmp.Or(conf.Idle, 9*time.Minute), 28*time.Minute)
	conf.Poll = cmp.Or(conf.Poll, time.Minute)
	if _, err := Criteria(conf.Search); err != nil {
		return nil, err
	}
	s := &Source{conf: conf, names: map[string]string{}}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Connect connects to a server and logs in there, without opening a folder.
func Connect(ctx context.Context, conf *Config) (*client.Conn, *client.Namespace, error) {
	if conf.Server.Port == 0 {
		conf.Server.Port = 143
		if conf.Server.Security == dial.TLS {
			conf.Server.Port = 993
		}
	}
	c, err := client.Dial(ctx, &conf.Server)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*client.Conn, *client.Namespace, error) {
		_ = c.Close() // err says more
		return nil, nil, fmt.Errorf("%s: %w", &conf.Server, err)
	}
	if err := c.Login(ctx, &conf.Credentials); err != nil {
		return fail(err)
	}
	ns, err := c.Begin(ctx)
	if err != nil {
		return fail(err)
	}
	return c, ns, nil
}

func (s *Source) connect(ctx context.Context) error {
	c, ns, err := Connect(ctx, &s.conf)
	if err != nil {
		return err
	}
	c.CondStore = s.conf.Search != ""
	s.conn, s.ns, s.selected = c, ns, nil
	return nil
}

// alive connects anew where the connection was lost.
func (s *Source) alive(ctx context.Context) error {
	if s.conn != nil && s.conn.Err() == nil {
		return nil
	}
	return s.connect(ctx)
}

// Folder opens a folder without changing anything in it. That the connection was
// lost since it was last used is no error.
func (s *Source) Folder(ctx context.Context, name string) (poller.Folder, error) {
	reused := s.conn != nil && s.conn.Err() == nil
	for {
		if err := s.alive(ctx); err != nil {
			return nil, &poller.BrokenError{Err: err}
		}
		f := &Folder{s: s, conn: s.conn, name: name, wire: s.wire(name)}
		err := f.selectIt(ctx, true)
		if err == nil {
			f.fresh = true
			return f, nil
		}
		if !reused || s.conn.Err() == nil || ctx.Err() != nil {
			return nil, err
		}
		reused = false
	}
}

// Close logs out.
func (s *Source) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
