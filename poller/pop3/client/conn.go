// Package client speaks POP3 (RFC 1939) to servers as they are.
//
// Its law: an answer belongs to the command that it follows. Who speaks out of turn
// is not listened to any more, for an answer taken for that of another command is
// one mail taken for another. A mail ends with its last line, or has not come.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"mailrow/poller/dial"
)

// Conn is a connection to a POP3 server. It holds no goroutine, and one uses it.
type Conn struct {
	raw    *dial.Conn
	server *dial.Server
	caps   map[string][]string // nil: the server has no CAPA
	stamp  string              // of the greeting, for APOP
	flying []uint32            // mails that were asked for and have not come
	open   *Mail               // the one that is coming
	hide   func(string) string
	err    error // why there is no connection any more
}

// Dial connects, and starts TLS where that is a command. It does not log in.
func Dial(ctx context.Context, s *dial.Server) (*Conn, error) {
	raw, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &Conn{raw: raw, server: s}
	defer c.guard(ctx)()
	if err := c.greet(ctx); err != nil {
		_ = raw.Close() // the first error says why
		return nil, c.told(ctx, err)
	}
	return c, nil
}

// stamp is what APOP is computed from (RFC 1939 7). Nothing else will do: who may
// choose it freely learns the password from the answers (CVE-2007-1558).
var stamp = regexp.MustCompile(`<[!-;=?A-~]+@[!-;=?A-~]+>`)

func (c *Conn) greet(ctx context.Context) error {
	text, err := c.answer("greeting")
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("connect to %s: %w", c.server, err)
	case err != nil:
		return err
	}
	c.stamp = stamp.FindString(text)
	if err := c.askCaps(); err != nil {
		return err
	}
	if c.server.Security != dial.StartTLS || c.raw.Private() {
		return nil
	}
	return c.startTLS(ctx)
}

// ErrNoTLS says that a server does not start TLS, or that somebody between keeps
// it from saying so.
var ErrNoTLS = errors.New("the server does not start TLS on this port, and nothing secret was sent to it in clear: use TLS from the first byte (+ssl), and ask the provider")

// startTLS: RFC 2595 4. Who has no CAPA may have STLS.
func (c *Conn) startTLS(ctx context.Context) error {
	if c.caps != nil && !c.Has("STLS") {
		return fmt.Errorf("start TLS with %s: %w", c.server, ErrNoTLS)
	}
	if _, err := c.do("STLS"); err != nil {
		return fmt.Errorf("start TLS with %s: %w", c.server, errors.Join(err, ErrNoTLS))
	}
	if err := c.raw.StartTLS(ctx); err != nil {
		return err
	}
	c.stamp = "" // who was on the way could have chosen it
	return c.askCaps()
}

// askCaps: RFC 2449 5.
func (c *Conn) askCaps() error {
	c.caps = nil
	caps := map[string][]string{}
	err := c.lines("CAPA", func(line []byte) error {
		words := strings.Fields(strings.ToUpper(string(line)))
		if len(words) == 0 {
			return nil
		}
		const most = 1000
		if caps[words[0]] = words[1:]; len(caps) > most {
			return fmt.Errorf("read from %s: it can do more than %d things", c.server, most)
		}
		return nil
	})
	var refused *RefusedError
	if errors.As(err, &refused) {
		return nil
	}
	c.caps = caps
	return err
}

// Has says whether the server has said that it can do something: "PIPELINING".
func (c *Conn) Has(capability string) bool {
	_, has := c.caps[capability]
	return has
}

// Err is why the connection is of no use any more; nil while it is.
func (c *Conn) Err() error { return c.err }

// guard ends the connection when ctx ends: what was asked will be answered some
// time, and nobody would wait for it.
func (c *Conn) guard(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	return func() { stop() }
}

// told: the end of ctx is the reason for the error that it has caused.
func (c *Conn) told(ctx context.Context, err error) error {
	if err != nil && c.err != nil && ctx.Err() != nil {
		c.err = fmt.Errorf("connection to %s given up: %w", c.server, context.Cause(ctx))
		return c.err
	}
	return err
}

// fail ends the connection.
func (c *Conn) fail(err error) error {
	if c.err == nil {
		c.err = err
		_ = c.raw.Close() // err says more
	}
	return c.err
}

// Quit ends the session. Only when it is without an error are mails removed
// (RFC 1939 6): a *RefusedError says that some may be there still, any other that
// it is not known.
func (c *Conn) Quit(ctx context.Context) error {
	defer c.guard(ctx)()
	err := c.settle()
	if err == nil {
		_, err = c.do("QUIT")
	}
	_ = c.fail(fmt.Errorf("connection to %s: the session is over", c.server))
	return c.told(ctx, err)
}

// farewell is how long the server may take to say goodbye where nothing depends on
// it; until then the maildrop may be locked.
const farewell = 2 * time.Second

// Close ends the connection. It says so to a server that waits for a command; what
// was marked for removal and not confirmed by Quit stays otherwise.
func (c *Conn) Close() error {
	if c.err == nil && len(c.flying) == 0 && c.open == nil {
		if _, err := c.raw.Write([]byte("QUIT\r\n")); err == nil {
			_, _ = c.raw.Await(context.Background(), farewell) // it is closed in any case
		}
	}
	err := c.raw.Close()
	_ = c.fail(fmt.Errorf("connection to %s: it was closed here", c.server))
	return err
}

// readLine gives a line without its end, valid until the next read, and whether
// that was LF alone.
func (c *Conn) readLine() (line []byte, bare bool, err error) {
	if c.err != nil {
		return nil, false, c.err
	}
	line, err = c.raw.ReadSlice('\n') // its buffer is larger than any line may be
	if err != nil {
		return nil, false, c.fail(err)
	}
	line = line[:len(line)-1]
	text := bytes.TrimSuffix(line, []byte("\r"))
	return text, len(text) == len(line), nil
}
