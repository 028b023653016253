// Package pop3 reads mailboxes on POP3 servers.
//
// Its law: nothing is marked for removal before its caller has committed it, and
// nothing counts as removed before the server has answered QUIT. What a session
// sees is fixed when it begins, so each listing is a session of its own. A mail is
// named by its unique-id, and by its bytes where that is not one.
package pop3

import (
	"context"
	"errors"
	"fmt"

	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/pop3/client"
	"mailrow/poller/sasl"
	"mailrow/poller/wildcard"
)

// Config is a mailbox on a server. Zero values are the defaults.
type Config struct {
	Server      dial.Server // port 995 with TLS, else 110
	Credentials sasl.Credentials
}

// Source is a mailbox on a server. Its only folder is INBOX.
type Source struct {
	conf    Config
	conn    *client.Conn
	session int       // counts connections: numbers of mails are those of one
	drop    *maildrop // what the session has; nil until it is listed
}

var _ poller.Source = (*Source)(nil)

const inbox = "INBOX"

// Open connects and logs in. A *sasl.DeniedError or *sasl.NoWayError needs the
// operator; anything else may pass.
func Open(ctx context.Context, conf Config) (*Source, error) {
	s := &Source{conf: conf}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Connect connects to a server and logs in there.
func Connect(ctx context.Context, conf *Config) (*client.Conn, error) {
	if conf.Server.Port == 0 {
		conf.Server.Port = 110
		if conf.Server.Security == dial.TLS {
			conf.Server.Port = 995
		}
	}
	c, err := client.Dial(ctx, &conf.Server)
	if err != nil {
		return nil, err
	}
	if err := c.Login(ctx, &conf.Credentials); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", &conf.Server, err), c.Close())
	}
	return c, nil
}

func (s *Source) connect(ctx context.Context) error {
	if s.live() {
		_ = s.conn.Quit(ctx) // nothing is marked for removal: only the lock has to go
	}
	s.conn, s.drop = nil, nil
	c, err := Connect(ctx, &s.conf)
	if err != nil {
		return err
	}
	s.conn = c
	s.session++
	return nil
}

// live says whether there is a session.
func (s *Source) live() bool { return s.conn != nil && s.conn.Err() == nil }

// begin begins a session that has not been listed, and lists it.
func (s *Source) begin(ctx context.Context) error {
	if !s.live() || s.drop != nil {
		if err := s.connect(ctx); err != nil {
			return &poller.BrokenError{Err: err}
		}
	}
	drop, err := scan(ctx, s.conn)
	if err != nil {
		return s.fault("list", err)
	}
	s.drop = drop
	return nil
}

// fault says where an error happened, and whether the session has survived it.
func (s *Source) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %s: %w", what, &s.conf.Server, err)
	if !s.live() {
		return &poller.BrokenError{Err: err}
	}
	return err
}

// Folders knows INBOX.
func (s *Source) Folders(_ context.Context, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return []string{inbox}, nil
	}
	names, err := wildcard.Select([]string{inbox}, patterns)
	if err != nil {
		return nil, fmt.Errorf("%w: POP3 has no other folders; IMAP has", err)
	}
	return names, nil
}

// Folder opens INBOX.
func (s *Source) Folder(_ context.Context, name string) (poller.Folder, error) {
	if name != inbox {
		return nil, fmt.Errorf("open folder %q of %s: POP3 has only %s", name, &s.conf.Server, inbox)
	}
	return &Folder{s: s}, nil
}

// Close ends the session.
func (s *Source) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
